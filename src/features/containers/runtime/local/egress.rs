//! The socket of a container's way to the egress role, in a folder that the container can only read.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fd::AsRawFd;
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};

use super::sandbox::EGRESS_SOCKET;
use super::volume::Folder;

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
