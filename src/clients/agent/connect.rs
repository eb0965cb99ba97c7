//! From an endpoint to a connected socket.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustix::fd::AsRawFd;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::tls::Broker;

/// Connection and handshake with a pod.
const CONNECT: Duration = Duration::from_secs(5);

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
    /// A pod's address, where whoever answers has to show the container's name. An address is given to another pod soon
    /// after its pod is gone: the name is what counts.
    Tls {
        /// Where.
        address: SocketAddr,
        /// The name in the certificate of the container's agent.
        name: ServerName<'static>,
        /// Which of the container's pods: connections to another one are not used again.
        attempt: i64,
        /// How the broker shows itself.
        broker: Broker,
    },
}

impl Endpoint {
    /// Connects.
    ///
    /// # Errors
    /// When nothing listens there, or when what is there is not a socket.
    pub async fn connect(&self) -> io::Result<Stream> {
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
                let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
                UnixStream::connect(path).await.map(Stream::Unix)
            }
            Self::Tls {
                address,
                name,
                broker,
                ..
            } => {
                let connecting = async {
                    let socket = TcpStream::connect(address).await?;
                    socket.set_nodelay(true)?;
                    broker.connector().connect(name.clone(), socket).await
                };
                let connected = tokio::time::timeout(CONNECT, connecting).await;
                connected
                    .unwrap_or_else(|late| Err(late.into()))
                    .map(|stream| Stream::Tls(Box::new(stream)))
            }
        }
    }
}

/// A connection to an agent.
pub enum Stream {
    /// On this machine.
    Unix(UnixStream),
    /// To a pod.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection as hyper wants it.
pub type AgentStream = TokioIo<Stream>;

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

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
