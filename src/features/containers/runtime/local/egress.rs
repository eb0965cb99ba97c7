//! The way to the egress role: a socket in a folder that the container can only read.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fd::AsRawFd;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use tokio::net::UnixListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::sandbox::EGRESS_SOCKET;
use super::volume::Folder;
use crate::features::containers::model::Identity;
use crate::features::containers::runtime::{EgressHandler, RuntimeError};

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
            let (work, closed) = (handler(who, stream), closed.clone());
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

/// Makes the socket anew and listens.
///
/// # Errors
/// What the system says.
pub fn bind(folder: &Folder, uid: Option<u32>) -> io::Result<OwnedFd> {
    let path = folder.join("egress");
    let folder = rustix::fs::openat(
        CWD,
        &path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    match rustix::fs::unlinkat(&folder, EGRESS_SOCKET, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    // Through the descriptor, because a socket's path may have 108 bytes only (unix(7)).
    let listener = std::os::unix::net::UnixListener::bind(format!(
        "/proc/self/fd/{}/{EGRESS_SOCKET}",
        folder.as_raw_fd()
    ))?;
    listener.set_nonblocking(true)?;
    rustix::fs::chmodat(
        &folder,
        EGRESS_SOCKET,
        Mode::RUSR | Mode::WUSR,
        AtFlags::empty(),
    )?;
    if let Some(uid) = uid {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        rustix::fs::chownat(
            &folder,
            EGRESS_SOCKET,
            Some(user),
            Some(group),
            AtFlags::SYMLINK_NOFOLLOW,
        )?;
    }
    Ok(listener.into())
}
