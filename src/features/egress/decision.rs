//! The record of decisions: one log line each, and the last ones of each container for its owner to see.
//!
//! Holds hosts and ports, never paths, headers or bodies. Kept in memory and bounded: it is a help for people, the
//! log is the record.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use serde::Serialize;

use super::refusal::Refusal;
use crate::features::containers::Identity;
use crate::kernel::ContainerId;
use crate::metrics;

/// Decisions kept for each container.
pub const KEPT: usize = 200;
/// Containers for which decisions are kept; the one that was quiet longest makes room.
const CONTAINERS: usize = 4096;

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The connection was made.
    Allowed,
    /// It was not.
    Refused,
}

/// One decision about one connection or request of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
    pub reason: &'static str,
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
            reason,
            message,
        }
    }
}

/// The last decisions of each container.
#[derive(Default)]
pub struct Decisions(Mutex<HashMap<ContainerId, VecDeque<Decision>>>);

impl Decisions {
    /// Logs and keeps a decision.
    pub fn record(&self, who: Identity, decision: Decision) {
        let verdict = match decision.verdict {
            Verdict::Allowed => "allowed",
            Verdict::Refused => "refused",
        };
        metrics::egress(verdict, decision.reason);
        tracing::info!(
            target: "egress",
            container = %who.container,
            workspace = %who.workspace,
            host = decision.host,
            port = decision.port,
            verdict,
            reason = decision.reason,
        );
        let mut kept = self
            .0
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

    /// The decisions that are kept, newest first.
    pub fn of(&self, container: ContainerId) -> Vec<Decision> {
        let kept = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.get(&container)
            .map(|ring| ring.iter().rev().cloned().collect())
            .unwrap_or_default()
    }
}
