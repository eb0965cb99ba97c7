//! Slows down guessing: so many failures for one address or one account in so long.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::kernel::{Code, Problem};

const WINDOW_MS: i64 = 15 * 60 * 1_000;
const FAILURES: usize = 10;
const REMEMBERED: usize = 100_000;

/// Tries of the last quarter of an hour that failed or are still running, by key.
#[derive(Default)]
pub struct Limiter {
    tries: Mutex<HashMap<String, Vec<i64>>>,
}

impl Limiter {
    /// Takes a try for each of `keys` before the secret is looked at, so that guesses in parallel count too. Give it back
    /// with [`Limiter::succeeded`].
    ///
    /// # Errors
    /// `rate_limited`, saying how long to wait; no try is taken then.
    pub fn take(&self, keys: &[String], now_ms: i64) -> Result<(), Problem> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let Some(times) = tries.get_mut(key) else {
                continue;
            };
            times.retain(|at| now_ms - at < WINDOW_MS);
            if times.len() >= FAILURES {
                let wait_ms = times.first().map_or(0, |first| first + WINDOW_MS - now_ms);
                return Err(Problem::new(
                    Code::RateLimited,
                    format!(
                        "Too many failed sign-ins. Wait {} minutes and try again.",
                        wait_ms / 60_000 + 1
                    ),
                ));
            }
        }
        if tries.len() + keys.len() > REMEMBERED {
            tries.retain(|_, times| times.iter().any(|at| now_ms - at < WINDOW_MS));
            // Still full: somebody floods it. Forgetting some is better than growing without bound.
            let surplus = (tries.len() + keys.len()).saturating_sub(REMEMBERED);
            let forgotten: Vec<String> = tries.keys().take(surplus).cloned().collect();
            for key in forgotten {
                tries.remove(&key);
            }
        }
        for key in keys {
            tries.entry(key.clone()).or_default().push(now_ms);
        }
        Ok(())
    }

    /// Gives back what [`Limiter::take`] took at `taken_ms`.
    pub fn succeeded(&self, keys: &[String], taken_ms: i64) {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let Some(times) = tries.get_mut(key) else {
                continue;
            };
            if let Some(place) = times.iter().rposition(|at| *at == taken_ms) {
                times.remove(place);
            }
            if times.is_empty() {
                tries.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_close_the_door_for_a_while() {
        let limiter = Limiter::default();
        let (a, b) = (["a".to_owned()], ["b".to_owned()]);
        for at in 0..10 {
            limiter.take(&a, at).unwrap();
        }
        assert!(limiter.take(&a, 10).is_err());
        assert!(limiter.take(&b, 10).is_ok());
        assert!(limiter.take(&a, WINDOW_MS + 10).is_ok());
    }

    #[test]
    fn successes_do_not_count() {
        let limiter = Limiter::default();
        let a = ["a".to_owned()];
        for at in 0..100 {
            limiter.take(&a, at).unwrap();
            limiter.succeeded(&a, at);
        }
    }

    #[test]
    fn it_does_not_grow_without_bound() {
        let limiter = Limiter::default();
        for number in 0..REMEMBERED + 1_000 {
            limiter.take(&[number.to_string()], 0).unwrap();
        }
        assert!(limiter.tries.lock().unwrap().len() <= REMEMBERED);
    }
}
