//! The container's way out: a loopback port whose connections are relayed to the server.
//!
//! Always holds: the agent decides nothing here. The server speaks the HTTP proxy protocol on the
//! other end (a Unix socket, or TLS with this container's certificate), and applies the allow-list.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::io::InspectReader;

use crate::app::App;
use crate::pod::Egress;

/// How long, and how much of, a request is read before it is refused.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const HEAD_MAX: usize = 16 << 10;

const AWAY: &str = "The way out of this container is not available: OptiDev's server does not answer. Try again in a moment; if it stays so, ask who runs OptiDev.\n";

/// Where the server's egress is.
#[derive(Clone)]
pub enum Way {
    Socket(PathBuf),
    Server(Arc<Egress>),
}

/// Relays until the agent stops.
pub async fn serve(app: App, listener: TcpListener, way: Way) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stop.cancelled() => return,
        };
        match accepted {
            Ok((client, _)) => {
                let relay = relay(client, way.clone());
                let stop = app.stop.clone();
                app.tasks.spawn(stop.run_until_cancelled_owned(relay));
            }
            // Out of descriptors, most likely: wait for some to be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn relay(client: TcpStream, way: Way) {
    let _ = client.set_nodelay(true);
    match way {
        Way::Socket(path) => match UnixStream::connect(path).await {
            Ok(server) => carry(client, server).await,
            Err(_) => refuse(client).await,
        },
        Way::Server(egress) => match egress.connect().await {
            Ok(server) => carry(client, server).await,
            Err(error) => {
                eprintln!("optidev-agent: the proxy has no way out: {error}");
                refuse(client).await;
            }
        },
    }
}

async fn carry(mut client: TcpStream, server: impl AsyncRead + AsyncWrite + Unpin) {
    let mut answered = false;
    let mut server = InspectReader::new(server, |bytes: &[u8]| answered |= !bytes.is_empty());
    let carried = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    drop(server);
    // In TLS 1.3 a server refuses a client's certificate after the client thinks that the connection stands.
    if carried.is_err() && !answered {
        say(client).await;
    }
}

/// Reads the request first: closing with unread data would reset the connection, and the client
/// would see no answer at all.
async fn refuse(mut client: TcpStream) {
    let read = async {
        let mut head = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(count @ 1..) = client.read(&mut buffer).await {
            head.extend_from_slice(buffer.get(..count).unwrap_or_default());
            if head.windows(4).any(|four| four == b"\r\n\r\n") || head.len() > HEAD_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(HEAD_TIMEOUT, read).await;
    say(client).await;
}

async fn say(mut client: TcpStream) {
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{AWAY}",
        AWAY.len()
    );
    let _ = client.write_all(answer.as_bytes()).await;
    let _ = client.shutdown().await;
}
