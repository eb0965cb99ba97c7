//! Trying one destination.
//!
//! Always holds: a failure of the agent's own (no descriptor left, no port) is `unknown` and never `blocked`.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

use super::interface;
use crate::wire::Observed;

/// How often a datagram is sent within a probe's time: one alone may be lost, which would look like a wall.
const DATAGRAMS: u32 = 3;

/// What is tried, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Tcp(SocketAddr),
    Udp(SocketAddr, Vec<u8>),
    /// The question, without the length that goes before it.
    DnsTcp(SocketAddr, Vec<u8>),
    Interface,
}

/// What was seen, and words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub observed: Observed,
    pub detail: String,
}

impl Sighting {
    pub fn new(observed: Observed, detail: impl Into<String>) -> Self {
        Self {
            observed,
            detail: detail.into(),
        }
    }
}

impl Target {
    /// Tries it once, for at most `limit`.
    pub async fn look(&self, limit: Duration) -> Sighting {
        let found = match self {
            Self::Tcp(address) => tcp(*address, limit).await,
            Self::Udp(address, message) => udp(*address, message, limit).await,
            Self::DnsTcp(address, question) => dns_tcp(*address, question, limit).await,
            Self::Interface => return interface::look(),
        };
        found.unwrap_or_else(|error| judge(&error, self.is_ipv6()))
    }

    fn is_ipv6(&self) -> bool {
        match self {
            Self::Tcp(address) | Self::Udp(address, _) | Self::DnsTcp(address, _) => {
                address.is_ipv6()
            }
            Self::Interface => true,
        }
    }
}

/// What an error of the network says. What is not listed proves nothing.
fn judge(error: &io::Error, ipv6: bool) -> Sighting {
    let observed = match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED | Errno::CONNRESET) => Observed::Refused,
        // No route, "administratively prohibited" from an enforcer that says so, or a filter on this side.
        Some(
            Errno::NETUNREACH
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::HOSTDOWN
            | Errno::TIMEDOUT
            | Errno::ACCESS
            | Errno::PERM,
        ) => Observed::Blocked,
        // The kernel has no IPv6, or this container no address of it.
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if ipv6 => Observed::Blocked,
        _ => Observed::Unknown,
    };
    Sighting::new(observed, error.to_string())
}

fn silence(limit: Duration) -> Sighting {
    Sighting::new(
        Observed::Blocked,
        format!("no answer within {} ms", limit.as_millis()),
    )
}

async fn tcp(address: SocketAddr, limit: Duration) -> io::Result<Sighting> {
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(connected) => {
            connected.map(|_| Sighting::new(Observed::Reachable, "a connection was made"))
        }
        Err(_) => Ok(silence(limit)),
    }
}

async fn udp(address: SocketAddr, message: &[u8], limit: Duration) -> io::Result<Sighting> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    // Connected: the kernel tells of refusals, and takes nothing from anybody else.
    socket.connect(address).await?;
    let mut answer = [0; 512];
    for _ in 0..DATAGRAMS {
        socket.send(message).await?;
        if let Ok(received) = timeout(limit / DATAGRAMS, socket.recv(&mut answer)).await {
            let size = received?;
            return Ok(Sighting::new(
                Observed::Reachable,
                format!("an answer of {size} bytes"),
            ));
        }
    }
    Ok(silence(limit))
}

async fn dns_tcp(address: SocketAddr, question: &[u8], limit: Duration) -> io::Result<Sighting> {
    let deadline = Instant::now() + limit;
    let Ok(connected) = timeout_at(deadline, TcpStream::connect(address)).await else {
        return Ok(silence(limit));
    };
    let mut stream = connected?;
    let asked = async {
        let length = u16::try_from(question.len()).map_err(io::Error::other)?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(question).await?;
        stream.read(&mut [0; 512]).await
    };
    Ok(match timeout_at(deadline, asked).await {
        Ok(Ok(size @ 1..)) => Sighting::new(
            Observed::Reachable,
            format!("an answer of at least {size} bytes"),
        ),
        // The connection was made, so nothing is blocked; and there was no answer, so nothing is shown to work.
        _ => Sighting::new(
            Observed::Unknown,
            "a connection was made, and no answer came on it",
        ),
    })
}
