//! When to try again, and when to stop trying.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// This many failures within [`WINDOW`] are enough.
const ENOUGH: usize = 5;
const WINDOW: Duration = Duration::from_secs(5 * 60);
const WAITS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(8),
];

/// Counts failures of one container.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: VecDeque<Instant>,
}

impl Backoff {
    /// A failure happened: how long to wait before the next try, or `None` when it is not worth one.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        self.failures.push_back(now);
        while self
            .failures
            .front()
            .is_some_and(|&first| now.duration_since(first) > WINDOW)
        {
            self.failures.pop_front();
        }
        if self.failures.len() >= ENOUGH {
            return None;
        }
        WAITS.get(self.failures.len().saturating_sub(1)).copied()
    }

    /// Somebody asked again: earlier failures do not count.
    pub fn reset(&mut self) {
        self.failures.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_after_five_failures_in_five_minutes() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        let waits: Vec<_> = (0..5)
            .map(|n| backoff.failed(start + Duration::from_secs(n)))
            .collect();
        assert_eq!(waits[..4], WAITS.map(Some));
        assert_eq!(waits[4], None);
        // Spread out, they do not add up.
        let mut backoff = Backoff::default();
        for n in 0..20 {
            assert!(backoff.failed(start + WINDOW * n).is_some());
        }
    }
}
