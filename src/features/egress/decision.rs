//! The record of decisions: one log line each, and the last ones of each container for its owner to see.
//!
//! Holds hosts and ports, never paths, headers or bodies. Kept in memory and bounded, and shared by replicas where there is
//! Redis: it is a help for people, the log is the record. A container's connections may come through any replica.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;
use crate::features::containers::Identity;
use crate::kernel::ContainerId;
use crate::metrics;
use crate::shared::Recent;

/// Decisions kept for each container.
pub const KEPT: usize = Recent::MOST;
/// Containers for which decisions are kept; the one that was quiet longest makes room.
const CONTAINERS: usize = 4096;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The connection was made.
    Allowed,
    /// It was not.
    Refused,
}

/// One decision about one connection or request of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Decision {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// The host that was asked for, as far as it could be read.
    pub host: String,
    /// The port that was asked for; 0 when there was none.
    pub port: u16,
    /// Whether the connection was made.
    pub verdict: Verdict,
    /// A word: `listed`, or why not.
    pub reason: Cow<'static, str>,
    /// The line that the program in the container was told; null when it was allowed.
    pub message: Option<String>,
}

impl Decision {
    /// A decision for `host` and `port`: allowed, or refused for a reason.
    pub fn new(at_ms: i64, host: String, port: u16, outcome: Result<(), &Refusal>) -> Self {
        let (verdict, reason, message) = match outcome {
            Ok(()) => (Verdict::Allowed, "listed", None),
            Err(refusal) => (
                Verdict::Refused,
                refusal.reason(),
                Some(refusal.to_string()),
            ),
        };
        Self {
            at_ms,
            host,
            port,
            verdict,
            reason: Cow::Borrowed(reason),
            message,
        }
    }
}

/// The last decisions of each container.
pub struct Decisions {
    here: Mutex<HashMap<ContainerId, VecDeque<Decision>>>,
    everywhere: Recent,
}

impl Decisions {
    /// Kept here, and noted in `everywhere` for other replicas.
    pub fn new(everywhere: Recent) -> Self {
        Self {
            here: Mutex::default(),
            everywhere,
        }
    }

    /// Logs and keeps a decision; waits for nothing.
    pub fn record(&self, who: Identity, decision: Decision) {
        let verdict = match decision.verdict {
            Verdict::Allowed => "allowed",
            Verdict::Refused => "refused",
        };
        // Made here, so a word of ours; only what another server wrote is owned.
        if let Cow::Borrowed(reason) = decision.reason {
            metrics::egress(verdict, reason);
        }
        tracing::info!(
            target: "egress",
            container = %who.container,
            workspace = %who.workspace,
            host = decision.host,
            port = decision.port,
            verdict,
            reason = %decision.reason,
        );
        self.everywhere.note(&name(who.container), || {
            serde_json::to_string(&decision).unwrap_or_default()
        });
        let mut kept = self
            .here
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() >= CONTAINERS && !kept.contains_key(&who.container) {
            let quietest = kept
                .iter()
                .min_by_key(|(_, ring)| ring.back().map_or(0, |last| last.at_ms))
                .map(|(id, _)| *id);
            if let Some(quietest) = quietest {
                kept.remove(&quietest);
            }
        }
        let ring = kept.entry(who.container).or_default();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(decision);
    }

    /// The last decisions of all replicas, newest first; of this one alone while there is no Redis.
    pub async fn of(&self, container: ContainerId) -> Vec<Decision> {
        let noted = self.everywhere.of(&name(container)).await;
        let own = self.here(container);
        match noted {
            Some(noted) => together(noted.iter().filter_map(|text| read(text)).collect(), own),
            None => own,
        }
    }

    /// The decisions of this process, newest first.
    pub(super) fn here(&self, container: ContainerId) -> Vec<Decision> {
        let kept = self
            .here
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.get(&container)
            .map(|ring| ring.iter().rev().cloned().collect())
            .unwrap_or_default()
    }
}

/// What the decisions of a container are noted under.
fn name(container: ContainerId) -> String {
    format!("egress {container}")
}

/// A note of another replica, which may be of another version: what cannot be read is passed over.
fn read(text: &str) -> Option<Decision> {
    serde_json::from_str(text).ok()
}

/// Both lists as one, newest first. What this process decided is in `noted` too, unless noting it failed.
fn together(noted: Vec<Decision>, own: Vec<Decision>) -> Vec<Decision> {
    let mut rest = noted.clone();
    let mut all = noted;
    for decision in own {
        match rest.iter().position(|same| *same == decision) {
            Some(place) => {
                rest.swap_remove(place);
            }
            None => all.push(decision),
        }
    }
    all.sort_by_key(|decision| std::cmp::Reverse(decision.at_ms));
    all.truncate(KEPT);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: i64, host: &str) -> Decision {
        Decision::new(at_ms, host.to_owned(), 443, Ok(()))
    }

    #[test]
    fn what_both_know_comes_once_and_what_one_knows_is_there() {
        let noted = vec![
            at(5, "both"),
            at(4, "theirs"),
            at(2, "twice"),
            at(2, "twice"),
        ];
        let own = vec![at(6, "not noted"), at(5, "both"), at(2, "twice")];
        let hosts: Vec<String> = together(noted, own)
            .into_iter()
            .map(|decision| decision.host)
            .collect();
        assert_eq!(hosts, ["not noted", "both", "theirs", "twice", "twice"]);
        let many: Vec<Decision> = (0..300).map(|ms| at(ms, "x")).collect();
        let all = together(many[..150].to_vec(), many[150..].to_vec());
        assert_eq!((all.len(), all[0].at_ms), (KEPT, 299));
    }

    #[test]
    fn a_note_is_read_as_it_was_written_and_nonsense_is_passed_over() {
        let refused = Refusal::Malformed("no.");
        let decision = Decision::new(7, "a.example".to_owned(), 80, Err(&refused));
        let text = serde_json::to_string(&decision).unwrap();
        assert_eq!(read(&text), Some(decision));
        for text in ["", "{}", "[1]", "\u{0}"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
