//! A token bucket for each workspace or user.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// How fast and how much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many a minute, at least 1.
    pub per_minute: u32,
    /// How many at once after a pause, at least 1.
    pub burst: u32,
}

/// Buckets by key. The time is a duration since any fixed moment, so that tests choose it.
pub struct Throttle<K> {
    rate: Rate,
    buckets: HashMap<K, Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    /// In microtokens: one operation costs a million.
    level: u64,
    at: Duration,
}

const TOKEN: u64 = 1_000_000;

/// Full buckets are the same as none; beyond this many they are looked for and dropped.
const MANY: usize = 4096;

impl<K: Eq + Hash> Throttle<K> {
    /// Full buckets for every key.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate: Rate {
                per_minute: rate.per_minute.max(1),
                burst: rate.burst.max(1),
            },
            buckets: HashMap::new(),
        }
    }

    /// The most that can be taken at once.
    pub fn most(&self) -> u32 {
        self.rate.burst
    }

    /// Takes `count` tokens, at most [`Throttle::most`], or none.
    ///
    /// # Errors
    /// How many milliseconds until there are so many.
    pub fn take(&mut self, key: K, count: u32, now: Duration) -> Result<(), u64> {
        if self.buckets.len() >= MANY {
            let (rate, full) = (self.rate, self.full());
            self.buckets
                .retain(|_, bucket| level(rate, *bucket, now) < full);
        }
        let full = self.full();
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            level: full,
            at: now,
        });
        let available = level(self.rate, *bucket, now);
        *bucket = Bucket {
            level: available,
            at: now,
        };
        let cost = u64::from(count) * TOKEN;
        match available.checked_sub(cost) {
            Some(left) => {
                bucket.level = left;
                Ok(())
            }
            None => {
                let missing = cost - available;
                Err((missing * 60).div_ceil(u64::from(self.rate.per_minute) * 1000))
            }
        }
    }

    fn full(&self) -> u64 {
        u64::from(self.rate.burst) * TOKEN
    }
}

fn level(rate: Rate, bucket: Bucket, now: Duration) -> u64 {
    let passed = u64::try_from(now.saturating_sub(bucket.at).as_micros()).unwrap_or(u64::MAX);
    let gained = passed.saturating_mul(u64::from(rate.per_minute)) / 60;
    bucket
        .level
        .saturating_add(gained)
        .min(u64::from(rate.burst) * TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        per_minute: 60,
        burst: 3,
    };

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn gives_the_burst_then_the_rate_and_says_when() {
        let mut throttle = Throttle::new(RATE);
        for _ in 0..3 {
            assert_eq!(throttle.take(1, 1, at(0)), Ok(()));
        }
        assert_eq!(throttle.take(1, 1, at(0)), Err(1000));
        assert_eq!(throttle.take(1, 1, at(400)), Err(600));
        assert_eq!(
            throttle.take(2, 1, at(400)),
            Ok(()),
            "another key has its own bucket"
        );
        assert_eq!(throttle.take(1, 1, at(1000)), Ok(()));
        assert_eq!(throttle.take(1, 1, at(1000)), Err(1000));
        // A long pause gives the burst and no more.
        for _ in 0..3 {
            assert_eq!(throttle.take(1, 1, at(1_000_000)), Ok(()));
        }
        assert!(throttle.take(1, 1, at(1_000_000)).is_err());
    }

    #[test]
    fn several_are_taken_together_or_not_at_all() {
        let mut throttle = Throttle::new(RATE);
        assert_eq!(throttle.take(1, 2, at(0)), Ok(()));
        assert_eq!(throttle.take(1, 2, at(0)), Err(1000));
        assert_eq!(throttle.take(1, 1, at(0)), Ok(()), "the refusal took none");
        assert_eq!(throttle.take(1, 3, at(0)), Err(3000));
        assert_eq!(throttle.take(1, 3, at(3000)), Ok(()));
    }

    #[test]
    fn does_not_grow_without_bound() {
        let mut throttle = Throttle::new(RATE);
        for key in 0..20_000_u64 {
            assert_eq!(throttle.take(key, 1, at(key * 10)), Ok(()));
        }
        assert!(throttle.buckets.len() <= MANY);
    }
}
