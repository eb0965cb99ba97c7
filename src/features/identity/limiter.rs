//! Slows down guessing: so many failures for one address or one account in so long.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::kernel::{Code, Problem};

const WINDOW_MS: i64 = 15 * 60 * 1_000;
const FAILURES: usize = 10;
const REMEMBERED: usize = 100_000;

/// Failures of the last quarter of an hour, by key.
#[derive(Default)]
pub struct Limiter {
    failures: Mutex<HashMap<String, Vec<i64>>>,
}

impl Limiter {
    /// Whether another try is allowed for each of `keys`.
    ///
    /// # Errors
    /// `rate_limited`, saying how long to wait.
    pub fn check(&self, keys: &[&str], now_ms: i64) -> Result<(), Problem> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let Some(times) = failures.get_mut(*key) else {
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
        Ok(())
    }

    /// Remembers a failure under each of `keys`.
    pub fn failed(&self, keys: &[&str], now_ms: i64) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() > REMEMBERED {
            failures.retain(|_, times| times.iter().any(|at| now_ms - at < WINDOW_MS));
        }
        for key in keys {
            failures.entry((*key).to_owned()).or_default().push(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_failures_close_the_door_for_a_while() {
        let limiter = Limiter::default();
        for at in 0..10 {
            limiter.check(&["a"], at).unwrap();
            limiter.failed(&["a"], at);
        }
        assert!(limiter.check(&["a"], 10).is_err());
        assert!(limiter.check(&["b"], 10).is_ok());
        assert!(limiter.check(&["a"], WINDOW_MS + 10).is_ok());
    }
}
