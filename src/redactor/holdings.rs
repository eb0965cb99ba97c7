//! What the redactor knows of workspaces: the values to look for, of those that asked lately.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::matching::Patterns;

/// How many workspaces are known at the same time; whoever asked longest ago is forgotten first.
const MOST: usize = 64;

/// All that is known.
#[derive(Default)]
pub struct Holdings(Mutex<State>);

#[derive(Default)]
struct State {
    known: HashMap<[u8; 16], Known>,
    /// Counts what is asked, in place of a clock.
    asked: u64,
}

struct Known {
    state: [u8; 32],
    patterns: Arc<Patterns>,
    asked: u64,
}

impl Holdings {
    /// The patterns of a workspace in this state.
    pub fn find(&self, workspace: &[u8; 16], state: &[u8; 32]) -> Option<Arc<Patterns>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.asked += 1;
        let asked = all.asked;
        let known = all.known.get_mut(workspace)?;
        if known.state != *state {
            return None;
        }
        known.asked = asked;
        Some(Arc::clone(&known.patterns))
    }

    /// Knows a workspace, in place of what was known of it.
    pub fn put(&self, workspace: [u8; 16], state: [u8; 32], patterns: Patterns) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.asked += 1;
        let known = Known {
            state,
            patterns: Arc::new(patterns),
            asked: all.asked,
        };
        all.known.insert(workspace, known);
        if all.known.len() > MOST {
            let oldest = all.known.iter().min_by_key(|(_, known)| known.asked);
            if let Some(oldest) = oldest.map(|(workspace, _)| *workspace) {
                all.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns() -> Patterns {
        Patterns::new([]).unwrap().0
    }

    #[test]
    fn another_state_is_not_known_and_the_oldest_is_forgotten() {
        let holdings = Holdings::default();
        holdings.put([0; 16], [1; 32], patterns());
        assert!(holdings.find(&[0; 16], &[1; 32]).is_some());
        assert!(holdings.find(&[0; 16], &[2; 32]).is_none());
        for number in 1..=64_u8 {
            // The first is asked for all the while, so the second goes.
            assert!(holdings.find(&[0; 16], &[1; 32]).is_some());
            holdings.put([number; 16], [1; 32], patterns());
        }
        assert!(holdings.find(&[0; 16], &[1; 32]).is_some());
        assert!(holdings.find(&[1; 16], &[1; 32]).is_none());
        assert!(holdings.find(&[2; 16], &[1; 32]).is_some());
    }
}
