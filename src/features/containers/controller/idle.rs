//! When a container has had nothing to do for long enough.

use std::time::Duration;

use crate::clients::agent::Agent;
use crate::context::Services;

/// How often an agent is asked.
pub const ASK: Duration = Duration::from_secs(20);

/// The reason to stop a container, when it has been idle for so many minutes; 0 means never.
pub async fn reason(services: &Services, agent: &Agent, minutes: u32) -> Option<String> {
    if minutes == 0 {
        return None;
    }
    let activity = agent.activity().await.ok()?;
    if activity.commands > 0 {
        return None;
    }
    is_over(services.clock.now_ms(), activity.last_activity_ms, minutes).then(|| {
        format!(
            "Stopped after {minutes} minutes without activity. Files and terminals' history are kept; start it to go on."
        )
    })
}

fn is_over(now_ms: i64, last_ms: i64, minutes: u32) -> bool {
    now_ms.saturating_sub(last_ms) >= i64::from(minutes) * 60_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_over_after_the_minutes_and_not_before() {
        assert!(!is_over(1_000_000 + 239_999, 1_000_000, 4));
        assert!(is_over(1_000_000 + 240_000, 1_000_000, 4));
    }
}
