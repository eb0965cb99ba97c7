//! How often something may be done: the generic cell rate algorithm, GCRA.
//!
//! A key holds one number, the time at which it would be as if nothing had been taken. Each take moves it on by the time
//! in which one grows back; a take that would move it further ahead of now than the whole quota is refused, and moves
//! nothing. Replicas share the numbers and Redis's clock.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::Script;

use super::hashed;
use crate::clients::redis::{Redis, RedisError};
use crate::kernel::Clock;

/// Keys that this process remembers at most.
const REMEMBERED: usize = 100_000;

/// So many, which grow back evenly over the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many may be taken at once.
    pub most: u32,
    /// Time in which that many grow back.
    pub per: Duration,
}

impl Quota {
    /// Microseconds in which one grows back.
    fn interval_us(self) -> i64 {
        let whole = i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX);
        (whole / i64::from(self.most.max(1))).max(1)
    }
}

/// One to be taken.
#[derive(Debug, Clone)]
pub struct Take {
    key: String,
    quota: Quota,
}

impl Take {
    /// One of `quota` for `name`, which nobody reads: only its hash is kept.
    pub fn new(name: &str, quota: Quota) -> Self {
        Self {
            key: hashed(name),
            quota,
        }
    }
}

/// What is left of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How many may still be taken now.
    pub remaining: u32,
    /// Time until all have grown back.
    pub full_in: Duration,
}

/// What came of taking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// One of each was taken; what is left of each.
    All(Vec<Left>),
    /// Nothing was taken.
    None {
        /// Which of them is used up.
        which: usize,
        /// Time until one has grown back.
        wait: Duration,
        /// What is left of each.
        left: Vec<Left>,
    },
}

/// Counts. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    redis: Option<Redis>,
    clock: Clock,
    here: Arc<Mutex<HashMap<String, i64>>>,
}

/// `KEYS`: the keys. `ARGV`: for each, microseconds per one, and how many. Answers which is used up (from 1; 0 for none) and
/// the microseconds to wait; then for each how far its time is ahead of now.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local answer, moved = {0, 0}, {}
        for i, key in ipairs(KEYS) do
            local interval, most = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
            local at = math.max(tonumber(redis.call('GET', key) or now), now)
            local wait = at + interval - now - interval * most
            if wait > 0 and wait > answer[2] then
                answer[1], answer[2] = i, wait
            end
            moved[i] = at + interval
            answer[i + 2] = at - now
        end
        if answer[1] == 0 then
            for i, key in ipairs(KEYS) do
                answer[i + 2] = moved[i] - now
                redis.call('SET', key, string.format('%.0f', moved[i]), 'PX', math.ceil((moved[i] - now) / 1000) + 1)
            end
        end
        return answer
        ",
    )
});

/// `KEYS`: the keys. `ARGV`: for each, microseconds per one.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        for i, key in ipairs(KEYS) do
            local at = redis.call('GET', key)
            if at then
                redis.call('SET', key, string.format('%.0f', tonumber(at) - tonumber(ARGV[i])), 'KEEPTTL')
            end
        end
        ",
    )
});

impl Limiter {
    pub(super) fn new(redis: Option<Redis>, clock: Clock) -> Self {
        Self {
            redis,
            clock,
            here: Arc::default(),
        }
    }

    /// Takes one of each, or none at all.
    ///
    /// # Errors
    /// While Redis fails, for nothing is known then: guessing must not go on.
    pub async fn strict(&self, takes: &[Take]) -> Result<Taken, RedisError> {
        match &self.redis {
            Some(redis) => self.there(redis, takes).await,
            None => Ok(self.take_here(takes)),
        }
    }

    /// Takes one of each, or none at all. While Redis fails, each replica counts for itself.
    pub async fn lenient(&self, takes: &[Take]) -> Taken {
        if let Some(redis) = &self.redis
            && let Ok(taken) = self.there(redis, takes).await
        {
            return taken;
        }
        self.take_here(takes)
    }

    /// Gives back what [`Limiter::strict`] took: it was no guess after all. While Redis fails it stays taken.
    pub async fn give_back(&self, takes: &[Take]) {
        if let Some(redis) = &self.redis {
            let intervals: Vec<i64> = takes.iter().map(|take| take.quota.interval_us()).collect();
            if let Err(error) = redis
                .script::<()>(&GIVE_BACK, &names(redis, takes), &intervals)
                .await
            {
                tracing::debug!(%error, "a take stays taken");
            }
            return;
        }
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        for take in takes {
            if let Some(at) = here.get_mut(&take.key) {
                *at -= take.quota.interval_us();
            }
        }
    }

    /// The time until one of it has grown back, when none is left. Takes nothing, and looks at what this process counts
    /// alone: with [`Limiter::take_here`] for what each replica counts for itself.
    pub fn spent_here(&self, take: &Take) -> Option<Duration> {
        let now = self.clock.now_ms().saturating_mul(1_000);
        let here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let at = here.get(&take.key).copied()?.max(now);
        let interval = take.quota.interval_us();
        let wait = at + interval - now - interval.saturating_mul(i64::from(take.quota.most));
        u64::try_from(wait)
            .ok()
            .filter(|wait| *wait > 0)
            .map(Duration::from_micros)
    }

    async fn there(&self, redis: &Redis, takes: &[Take]) -> Result<Taken, RedisError> {
        let mut arguments = Vec::with_capacity(2 * takes.len());
        for take in takes {
            arguments.extend([take.quota.interval_us(), i64::from(take.quota.most)]);
        }
        let answer: Vec<i64> = redis
            .script(&TAKE, &names(redis, takes), &arguments)
            .await?;
        match answer.as_slice() {
            [which, wait_us, ahead @ ..] => Ok(outcome(takes, ahead, (*which, *wait_us))),
            _ => Err(RedisError::Nonsense),
        }
    }

    /// As [`Limiter::lenient`], counted by this process alone.
    pub fn take_here(&self, takes: &[Take]) -> Taken {
        let now = self.clock.now_ms().saturating_mul(1_000);
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut here, takes.len(), now);
        let (mut used_up, mut moved) = ((0, 0), Vec::with_capacity(takes.len()));
        for (place, take) in takes.iter().enumerate() {
            let interval = take.quota.interval_us();
            let at = here.get(&take.key).copied().unwrap_or(now).max(now);
            let wait = at + interval - now - interval.saturating_mul(i64::from(take.quota.most));
            if wait > used_up.1 {
                used_up = (i64::try_from(place).unwrap_or(i64::MAX) + 1, wait);
            }
            moved.push((at, at + interval));
        }
        let ahead: Vec<i64> = if used_up.0 == 0 {
            for (take, (_, next)) in takes.iter().zip(&moved) {
                here.insert(take.key.clone(), *next);
            }
            moved.iter().map(|(_, next)| next - now).collect()
        } else {
            moved.iter().map(|(at, _)| at - now).collect()
        };
        outcome(takes, &ahead, used_up)
    }
}

fn names(redis: &Redis, takes: &[Take]) -> Vec<String> {
    takes
        .iter()
        .map(|take| redis.key("limit", &take.key))
        .collect()
}

/// From how far ahead of now each key's time is, in microseconds.
fn outcome(takes: &[Take], ahead: &[i64], (which, wait_us): (i64, i64)) -> Taken {
    let micros = |us: i64| Duration::from_micros(u64::try_from(us).unwrap_or(0));
    let left: Vec<Left> = takes
        .iter()
        .zip(ahead)
        .map(|(take, ahead)| {
            let interval = take.quota.interval_us();
            let free = interval.saturating_mul(i64::from(take.quota.most)) - ahead;
            Left {
                remaining: u32::try_from(free / interval).unwrap_or(0),
                full_in: micros(*ahead),
            }
        })
        .collect();
    match usize::try_from(which - 1) {
        Ok(which) => Taken::None {
            which,
            wait: micros(wait_us),
            left,
        },
        Err(_) => Taken::All(left),
    }
}

fn make_room(here: &mut HashMap<String, i64>, wanted: usize, now_us: i64) {
    if here.len() + wanted <= REMEMBERED {
        return;
    }
    here.retain(|_, at| *at > now_us);
    let surplus = (here.len() + wanted).saturating_sub(REMEMBERED);
    if surplus == 0 {
        return;
    }
    // Still full: somebody floods it. Forgetting some is better than growing without bound, and some more at a time than
    // looking through all again at the next.
    let forgotten: Vec<String> = here
        .keys()
        .take(surplus + REMEMBERED / 10)
        .cloned()
        .collect();
    for key in forgotten {
        here.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter() -> (Limiter, Clock) {
        let clock = Clock::fixed(1_000_000);
        (Limiter::new(None, clock.clone()), clock)
    }

    const TEN: Quota = Quota {
        most: 10,
        per: Duration::from_secs(100),
    };

    fn all(taken: &Taken) -> u32 {
        match taken {
            Taken::All(left) => left[0].remaining,
            Taken::None { .. } => panic!("refused: {taken:?}"),
        }
    }

    #[tokio::test]
    async fn ten_at_once_and_then_one_each_ten_seconds() {
        let (limiter, clock) = limiter();
        let take = [Take::new("a", TEN)];
        for left in (0..10).rev() {
            assert_eq!(all(&limiter.strict(&take).await.unwrap()), left);
        }
        let refused = limiter.lenient(&take).await;
        let Taken::None { which, wait, left } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((which, wait), (0, Duration::from_secs(10)));
        assert_eq!(left[0].full_in, Duration::from_secs(100));
        assert_eq!(all(&limiter.lenient(&[Take::new("b", TEN)]).await), 9);
        clock.advance_ms(9_999);
        assert!(matches!(limiter.lenient(&take).await, Taken::None { .. }));
        clock.advance_ms(1);
        assert_eq!(all(&limiter.lenient(&take).await), 0);
        clock.advance_ms(1_000_000);
        assert_eq!(all(&limiter.lenient(&take).await), 9);
    }

    #[tokio::test]
    async fn one_that_is_used_up_takes_nothing_of_the_others() {
        let (limiter, _) = limiter();
        let (one, ten) = (Quota { most: 1, ..TEN }, TEN);
        let takes = [Take::new("ten", ten), Take::new("one", one)];
        assert_eq!(all(&limiter.lenient(&takes).await), 9);
        for _ in 0..20 {
            let refused = limiter.lenient(&takes).await;
            assert!(
                matches!(refused, Taken::None { which: 1, .. }),
                "{refused:?}"
            );
        }
        assert_eq!(all(&limiter.lenient(&takes[..1]).await), 8);
    }

    #[tokio::test]
    async fn what_is_given_back_does_not_count() {
        let (limiter, _) = limiter();
        let take = [Take::new("a", TEN)];
        for _ in 0..100 {
            assert_eq!(all(&limiter.strict(&take).await.unwrap()), 9);
            limiter.give_back(&take).await;
        }
    }

    #[tokio::test]
    async fn looking_takes_nothing_and_says_how_long() {
        let (limiter, clock) = limiter();
        let take = Take::new("a", TEN);
        for _ in 0..20 {
            assert_eq!(limiter.spent_here(&take), None);
        }
        for _ in 0..10 {
            assert_eq!(limiter.spent_here(&take), None);
            limiter.take_here(std::slice::from_ref(&take));
        }
        assert_eq!(limiter.spent_here(&take), Some(Duration::from_secs(10)));
        clock.advance_ms(10_000);
        assert_eq!(limiter.spent_here(&take), None);
    }

    #[tokio::test]
    async fn it_does_not_grow_without_bound() {
        let (limiter, _) = limiter();
        for number in 0..REMEMBERED + 1_000 {
            limiter
                .lenient(&[Take::new(&number.to_string(), TEN)])
                .await;
        }
        assert!(limiter.here.lock().unwrap().len() <= REMEMBERED);
    }
}
