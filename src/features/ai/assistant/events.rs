//! The events of a session as a stream: what happened since, then what happens.
//!
//! What always holds: each event once and in order, also when it moves from memory to the database meanwhile.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse;
use futures_util::stream::unfold;
use futures_util::{Stream, StreamExt};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::hub::Live;
use super::model::Logged;
use super::store::{self, EVENTS_AT_A_TIME};
use crate::authz;
use crate::authz::permission::AssistantUse;
use crate::context::Ctx;
use crate::features::containers::Standing;
use crate::kernel::{AssistantSessionId, Problem, WorkspaceId};

/// Pause before the database is asked again after it failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Failures in a row that end the stream.
const PATIENCE: u32 = 5;

/// A listener's place in the session.
struct Place {
    ctx: Ctx,
    workspace: WorkspaceId,
    session: AssistantSessionId,
    live: Arc<Live>,
    receiver: Receiver<Logged>,
    ready: VecDeque<Logged>,
    after: i64,
    behind: bool,
    failures: u32,
}

/// All events after `after`, then live ones, until the server stops, the listener goes away or may not listen any more.
pub fn stream(
    ctx: Ctx,
    workspace: WorkspaceId,
    session: AssistantSessionId,
    live: Arc<Live>,
    after: i64,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    // Listening begins before the first read, so that nothing falls in between.
    let receiver = live.listen();
    // Another person's conversation cannot be opened, and its owner never changes.
    let standing = Standing::<AssistantUse>::new(&ctx, workspace);
    let place = Place {
        ctx,
        workspace,
        session,
        live,
        receiver,
        ready: VecDeque::new(),
        after,
        behind: true,
        failures: 0,
    };
    events(place).take_until(Box::pin(standing.ended()))
}

fn events(place: Place) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    unfold(place, |mut place| async move {
        let logged = place.next().await?;
        let data = serde_json::to_string(&logged.event).unwrap_or_default();
        Some((
            Ok(sse::Event::default()
                .id(logged.sequence.to_string())
                .data(data)),
            place,
        ))
    })
}

impl Place {
    async fn next(&mut self) -> Option<Logged> {
        loop {
            if let Some(logged) = self.ready.pop_front() {
                if logged.sequence > self.after {
                    self.after = logged.sequence;
                    return Some(logged);
                }
                continue;
            }
            if self.behind {
                match self.catch_up().await {
                    Ok(()) => self.failures = 0,
                    Err(problem) => {
                        self.failures += 1;
                        if problem.code.status() < 500 || self.failures >= PATIENCE {
                            tracing::debug!(cause = problem.cause, "a stream of events ended");
                            return None;
                        }
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            }
            match self.receiver.recv().await {
                Ok(logged) => self.ready.push_back(logged),
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Reads what the database has after this place; when that is all, what only memory has.
    async fn catch_up(&mut self) -> Result<(), Problem> {
        // Before the database is read: what is written meanwhile is in one of the two.
        let unwritten = self.live.unwritten();
        let store = &self.ctx.services.store;
        // Again for each page: the stream outlives the request that was checked.
        let grant =
            authz::authorize_user_now::<AssistantUse>(store, self.ctx.actor.user(), self.workspace)
                .await?;
        let tx = store.scoped_read(&grant).await?;
        let rows = store::events_after(&tx, self.session, self.after).await?;
        let more = u64::try_from(rows.len()).unwrap_or(0) >= EVENTS_AT_A_TIME;
        self.ready.extend(rows);
        if !more {
            self.ready.extend(unwritten);
            self.behind = false;
        }
        Ok(())
    }
}
