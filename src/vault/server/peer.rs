//! Who is at the other end of a connection, by the kernel's word (`SO_PEERCRED`, unix(7)), and what they may ask.
//!
//! Two kinds of process ask the vault things. The server may ask for everything but patterns. The redactor may ask for
//! patterns alone; it is known by a user of its own or, where all run as one user, by a token that whoever starts both has
//! given to both, and to nobody else. A server that was taken over is neither.

#![expect(
    unsafe_code,
    reason = "the safe wrapper has no process id 0, and that is what a peer in another pid namespace has"
)]

use std::{
    io,
    os::{fd::AsRawFd, unix::net::UnixStream},
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::ops::refused;
use crate::vault::{protocol::Request, types::VaultError};

/// What the redactor shows, where it is known by that.
pub type RedactorToken = [u8; 32];

/// How the vault knows the redactor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedactorIs {
    /// There is none.
    #[default]
    Absent,
    /// Every process of this user, which is not the server's.
    User(u32),
    /// Whoever shows the token with this SHA-256. The token itself is not kept.
    TokenDigest([u8; 32]),
}

impl RedactorIs {
    /// Known by a token.
    #[must_use]
    pub fn by(token: &RedactorToken) -> Self {
        Self::TokenDigest(Sha256::digest(token).into())
    }
}

/// Whose processes may connect.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// The server's user.
    pub server_uid: u32,
    /// How the redactor is known.
    pub redactor: RedactorIs,
}

impl Admission {
    /// Who a process of the user `uid` is.
    ///
    /// # Errors
    /// Why it is nobody, for people.
    pub fn admit(&self, uid: u32, pid: i32) -> Result<Peer, String> {
        let is_redactor = if uid == self.server_uid {
            false
        } else if self.redactor == RedactorIs::User(uid) {
            true
        } else {
            let redactor = match self.redactor {
                RedactorIs::User(redactor) => format!(" and the redactor, user {redactor},"),
                _ => String::new(),
            };
            return Err(format!(
                "it answers user {}{redactor} only, and this process runs as user {uid}",
                self.server_uid
            ));
        };
        Ok(Peer {
            pid,
            is_redactor,
            redactor: self.redactor,
        })
    }
}

/// The other end of one connection.
#[derive(Debug)]
pub struct Peer {
    pid: i32,
    is_redactor: bool,
    redactor: RedactorIs,
}

impl Peer {
    /// Its process, as far as the kernel can tell.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it may ask this.
    ///
    /// # Errors
    /// [`VaultError::Refused`]
    pub fn may(&self, request: &Request<'_>) -> Result<(), VaultError> {
        match (self.is_redactor, request) {
            (_, Request::Status | Request::Redactor { .. }) | (true, Request::Patterns { .. }) => {
                Ok(())
            }
            (false, Request::Patterns { .. }) => Err(refused(
                "hidden values go to the redactor alone, and this process is not known as that",
            )),
            (true, _) => Err(refused("the redactor asks for patterns and nothing else")),
            (false, _) => Ok(()),
        }
    }

    /// The connection is the redactor's from now on, and cannot be the server's again.
    ///
    /// # Errors
    /// [`VaultError::Refused`] for another token, and where the redactor is not known by one.
    pub fn become_redactor(&mut self, token: &RedactorToken) -> Result<(), VaultError> {
        let RedactorIs::TokenDigest(known) = self.redactor else {
            return Err(refused("this vault knows no redactor by a token"));
        };
        let shown: [u8; 32] = Sha256::digest(token).into();
        if !bool::from(shown.ct_eq(&known)) {
            return Err(refused(
                "this is not the redactor's token; both processes have to be started by the same launcher",
            ));
        }
        self.is_redactor = true;
        Ok(())
    }
}

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
