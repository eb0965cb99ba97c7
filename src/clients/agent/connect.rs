//! From an endpoint to a connected socket.

use std::io;
use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use rustix::fd::AsRawFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use tokio::net::UnixStream;

/// Where an agent listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket `name` in `folder`. The folder is the server's, what is in it may be the container's.
    Unix {
        /// Absolute path of the folder.
        folder: PathBuf,
        /// File name of the socket.
        name: String,
    },
}

impl Endpoint {
    /// Connects.
    ///
    /// # Errors
    /// When nothing listens there, or when what is there is not a socket.
    pub async fn connect(&self) -> io::Result<UnixStream> {
        match self {
            Self::Unix { folder, name } => {
                let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
                let folder =
                    rustix::fs::openat(CWD, folder, flags | OFlags::DIRECTORY, Mode::empty())?;
                // User code may put anything in the socket's place. A link would make the server, which can reach
                // more sockets than the container, connect elsewhere; so the file is pinned before it is looked at.
                let socket = rustix::fs::openat(&folder, name.as_str(), flags, Mode::empty())?;
                if FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode) != FileType::Socket
                {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the agent's socket is not a socket",
                    ));
                }
                // Through the descriptor the path's length does not matter either (108 bytes, unix(7)).
                UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await
            }
        }
    }
}

/// A connection as hyper wants it.
pub type AgentStream = TokioIo<UnixStream>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_in_place_of_the_socket_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("elsewhere.sock");
        let _listener = tokio::net::UnixListener::bind(&elsewhere).unwrap();
        let inside = folder.path().join("run");
        std::fs::create_dir(&inside).unwrap();
        let endpoint = Endpoint::Unix {
            folder: inside.clone(),
            name: "agent.sock".to_owned(),
        };

        std::os::unix::fs::symlink(&elsewhere, inside.join("agent.sock")).unwrap();
        assert!(endpoint.connect().await.is_err());

        std::fs::remove_file(inside.join("agent.sock")).unwrap();
        std::fs::write(inside.join("agent.sock"), "").unwrap();
        assert!(endpoint.connect().await.is_err());

        std::fs::remove_file(inside.join("agent.sock")).unwrap();
        let _listener = tokio::net::UnixListener::bind(inside.join("agent.sock")).unwrap();
        endpoint.connect().await.unwrap();
    }
}
