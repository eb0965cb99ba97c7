//! Ports that something in the container listens on, and raw tunnels to them.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::app::{ActivityMeter, App, blocking};
use crate::problem::Problem;
use crate::wire::{List, Port, TUNNEL_UPGRADE};

/// Loopback answers at once; a full backlog does not.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// `TCP_LISTEN` of the kernel's socket states.
const LISTEN: &str = "0A";

pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/ports", routing::get(list))
        .route("/v1/ports/{port}/tunnel", routing::get(tunnel))
}

async fn list(State(app): State<App>) -> Result<Json<List<Port>>, Problem> {
    let (proxy, protocol) = (app.proxy_port, app.protocol_port);
    let own = move |address: SocketAddr| {
        let port = Some(address.port());
        port == protocol || port == proxy && address.ip().is_loopback()
    };
    let items = blocking(move || Ok(listening(own))).await?;
    Ok(Json(items.into()))
}

/// One item per port; of several addresses the one that most clients reach is shown.
fn listening(own: impl Fn(SocketAddr) -> bool) -> Vec<Port> {
    let mut found: BTreeMap<u16, (IpAddr, u64)> = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        // Without IPv6 there is no second table.
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for (address, inode) in text.lines().skip(1).filter_map(parse_line) {
            if own(address) {
                continue;
            }
            found.entry(address.port()).or_insert((address.ip(), inode));
        }
    }
    let names = if found.is_empty() {
        HashMap::new()
    } else {
        socket_owners()
    };
    found
        .into_iter()
        .map(|(port, (address, inode))| Port {
            port,
            address: address.to_string(),
            process: names.get(&inode).cloned(),
        })
        .collect()
}

/// Address and inode of a listening socket; see proc_net_tcp in the kernel's documentation.
fn parse_line(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let inode = fields.nth(5)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = if address.len() == 8 {
        let word = u32::from_str_radix(address, 16).ok()?;
        IpAddr::V4(Ipv4Addr::from(word.to_ne_bytes()))
    } else {
        let mut bytes = Vec::with_capacity(16);
        for start in (0..32).step_by(8) {
            let word = u32::from_str_radix(address.get(start..start + 8)?, 16).ok()?;
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))
    };
    Some((SocketAddr::new(ip, port), inode))
}

/// Names of the processes by the inodes of the sockets which they hold.
fn socket_owners() -> HashMap<u64, String> {
    let mut owners = HashMap::new();
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return owners;
    };
    for process in processes.flatten() {
        if !process
            .file_name()
            .as_bytes()
            .iter()
            .all(u8::is_ascii_digit)
        {
            continue;
        }
        // Those of other users, and those that just ended, have nothing to show.
        let Ok(descriptors) = std::fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        for descriptor in descriptors.flatten() {
            let inode = std::fs::read_link(descriptor.path())
                .ok()
                .and_then(|target| {
                    let inode = target
                        .to_str()?
                        .strip_prefix("socket:[")?
                        .strip_suffix(']')?;
                    inode.parse().ok()
                });
            if let Some(inode) = inode {
                owners
                    .entry(inode)
                    .or_insert_with(|| name.trim_end().to_owned());
            }
        }
    }
    owners
}

async fn tunnel(
    State(app): State<App>,
    Path(port): Path<String>,
    headers: HeaderMap,
    mut request: Request,
) -> Result<Response, Problem> {
    let port = match port.parse::<u16>() {
        Ok(port @ 1..) => port,
        _ => {
            return Err(Problem::bad_request(format!(
                "{port:?} is not a port; use 1 to 65535."
            )));
        }
    };
    let asked = headers.get(header::UPGRADE).is_some_and(|value| {
        value
            .as_bytes()
            .eq_ignore_ascii_case(TUNNEL_UPGRADE.as_bytes())
    });
    if !asked {
        return Err(Problem::bad_request(format!(
            "A tunnel needs the headers Connection: Upgrade and Upgrade: {TUNNEL_UPGRADE}."
        )));
    }
    if app.proxy_port == Some(port) {
        return Err(Problem::forbidden(format!(
            "Port {port} is the container's own egress proxy; it cannot be opened from outside."
        )));
    }
    let mut inside = connect(port).await?;
    let upgrade = hyper::upgrade::on(&mut request);
    let meter = Arc::clone(&app.activity);
    let stop = app.stop.clone();
    app.tasks.spawn(stop.run_until_cancelled_owned(async move {
        if let Ok(outside) = upgrade.await {
            let mut outside = Metered {
                inner: TokioIo::new(outside),
                meter,
            };
            // However a connection ends, it ends; both sides see it.
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        }
    }));
    let headers = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, TUNNEL_UPGRADE),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response())
}

async fn connect(port: u16) -> Result<TcpStream, Problem> {
    for ip in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ] {
        let attempt = TcpStream::connect(SocketAddr::new(ip, port));
        if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
    }
    Err(Problem::bad_gateway(format!(
        "Nothing listens on port {port} in the container; start the server there, on 127.0.0.1 or on all addresses."
    )))
}

/// Counts bytes that come in or go out as activity.
struct Metered<T> {
    inner: T,
    meter: Arc<ActivityMeter>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(context, buffer);
        if result.is_ready() {
            self.meter.touch();
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.meter.touch();
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_tables() {
        let line = "   0: 0100007F:0C38 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0";
        let (address, inode) = parse_line(line).unwrap();
        assert_eq!(
            (address.to_string().as_str(), inode),
            ("127.0.0.1:3128", 4242)
        );
        let line = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77 1 0";
        assert_eq!(parse_line(line).unwrap().0.to_string(), "[::1]:8080");
        assert!(parse_line(&line.replace(" 0A ", " 01 ")).is_none());
    }
}
