//! Who is at the other end of a connection, by the kernel's word (`SO_PEERCRED`, unix(7)).

#![expect(
    unsafe_code,
    reason = "the safe wrapper has no process id 0, and that is what a peer in another pid namespace has"
)]

use std::{
    io,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

/// The user that connected, and its process: 0 when that is in a pid namespace which this process cannot see into, as the
/// containers of a Kubernetes pod are to each other.
///
/// # Errors
/// What the system says.
pub fn of(stream: &UnixStream) -> io::Result<(u32, i32)> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut size = libc::socklen_t::try_from(size_of_val(&peer)).unwrap_or_default();
    // SAFETY: the descriptor is open, and the kernel writes at most `size` bytes, which is what the structure has.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((peer.uid, peer.pid))
}
