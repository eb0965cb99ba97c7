//! What the redactor knows: the values to look for, of those that asked lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::matching::Patterns;
use super::protocol::Of;

/// How many sets of values are known at the same time, and how much memory that may take; whoever asked longest ago is forgotten
/// first. The last one is known whatever it takes: the size of one has a limit of its own.
const MOST: usize = 64;
const MOST_BYTES: usize = 256 << 20;

/// All that is known.
#[derive(Default)]
pub struct Holdings(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<Of, Known>,
    /// Counts what is asked, in place of a clock.
    asked: u64,
}

/// What came of learning: the patterns, or why there are none. That is kept as well: learning the same again would fail again,
/// after the vault has opened all of it.
pub type Learnt = Result<Arc<Patterns>, Arc<str>>;

struct Known {
    state: [u8; 32],
    learnt: Learnt,
    asked: u64,
}

impl Holdings {
    /// What is known of these values in this state.
    pub fn find(&self, of: &Of, state: &[u8; 32]) -> Option<Learnt> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.asked += 1;
        let asked = all.asked;
        let known = all.known.get_mut(of)?;
        if known.state != *state {
            return None;
        }
        known.asked = asked;
        Some(known.learnt.clone())
    }

    /// Knows them, in place of what was known.
    pub fn put(&self, of: Of, state: [u8; 32], learnt: Learnt) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.asked += 1;
        let known = Known {
            state,
            learnt,
            asked: all.asked,
        };
        all.known.insert(of, known);
        while all.known.len() > 1 && (all.known.len() > MOST || all.bytes() > MOST_BYTES) {
            let oldest = all.known.iter().min_by_key(|(_, known)| known.asked);
            let Some(oldest) = oldest.map(|(of, _)| *of) else {
                return;
            };
            all.known.remove(&oldest);
        }
    }
}

impl State {
    fn bytes(&self) -> usize {
        let learnt = self
            .known
            .values()
            .filter_map(|known| known.learnt.as_ref().ok());
        learnt.map(|patterns| patterns.bytes()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::matching::Known;
    use super::*;

    fn of(number: u8) -> Of {
        Of {
            workspace: [number; 16],
            user: [0; 16],
        }
    }

    fn patterns() -> Patterns {
        Patterns::new([]).unwrap().0
    }

    #[test]
    fn those_that_take_too_much_memory_together_are_forgotten() {
        // A value of many lines has many forms.
        let line =
            |number: u32| format!("{:08x}-{number}-value\n", number.wrapping_mul(0x9e37_79b1));
        let value: String = (0..3_000).map(line).collect();
        let known = Known {
            name: "NAME",
            value: value.as_bytes(),
        };
        let large = Arc::new(Patterns::new([known]).unwrap().0);
        let each = large.bytes();
        assert!(each > 1 << 20, "{each}");
        let most = u8::try_from(MOST_BYTES / each)
            .unwrap_or(MOST as u8)
            .min(60);
        let holdings = Holdings::default();
        for number in 0..most + 3 {
            holdings.put(of(number), [1; 32], Ok(Arc::clone(&large)));
            assert!(holdings.0.lock().unwrap().bytes() <= MOST_BYTES);
        }
        assert!(holdings.find(&of(0), &[1; 32]).is_none());
        assert!(holdings.find(&of(most + 2), &[1; 32]).is_some());
    }

    #[test]
    fn another_state_is_not_known_and_the_oldest_is_forgotten() {
        let holdings = Holdings::default();
        holdings.put(of(0), [1; 32], Ok(Arc::new(patterns())));
        assert!(holdings.find(&of(0), &[1; 32]).is_some());
        assert!(holdings.find(&of(0), &[2; 32]).is_none());
        for number in 1..=64_u8 {
            // The first is asked for all the while, so the second goes.
            assert!(holdings.find(&of(0), &[1; 32]).is_some());
            holdings.put(of(number), [1; 32], Ok(Arc::new(patterns())));
        }
        assert!(holdings.find(&of(0), &[1; 32]).is_some());
        assert!(holdings.find(&of(1), &[1; 32]).is_none());
        assert!(holdings.find(&of(2), &[1; 32]).is_some());
    }
}
