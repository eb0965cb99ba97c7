//! The server's end of a container's way to the egress role; the launcher makes the socket (`local::egress`).

use std::os::fd::OwnedFd;

use tokio::net::UnixListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::{EgressHandler, RuntimeError};
use crate::features::containers::model::Identity;

/// An open way out; closed when dropped, with its connections.
pub struct Egress {
    _open: DropGuard,
}

/// Listens for the container's agent and hands connections to `handler`, which turns away those that are too many: a
/// limit here could only let them wait without a word.
///
/// # Errors
/// When the listener cannot be watched.
pub fn serve(
    listener: OwnedFd,
    who: Identity,
    handler: EgressHandler,
    tasks: &TaskTracker,
) -> Result<Egress, RuntimeError> {
    let listener = UnixListener::from_std(listener.into())
        .map_err(|error| RuntimeError::io("watching the way to the egress role", error))?;
    let closed = CancellationToken::new();
    let open = closed.clone().drop_guard();
    let connections = tasks.clone();
    tasks.spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = closed.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors: others have to end first.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            let (work, closed) = (handler(who, Box::new(stream)), closed.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = closed.cancelled() => {}
                    () = work => {}
                }
            });
        }
    });
    Ok(Egress { _open: open })
}
