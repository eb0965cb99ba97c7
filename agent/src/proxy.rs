//! The container's way out: a loopback port whose connections are relayed to the server.
//!
//! Always holds: the agent decides nothing here. The server speaks the HTTP proxy protocol on the
//! other end of the egress socket, and applies the allow-list.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::app::App;

/// How long, and how much of, a request is read before it is refused.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
const HEAD_MAX: usize = 16 << 10;

const AWAY: &str = "The way out of this container is not available: OptiDev's server does not answer. Try again in a moment; if it stays so, ask who runs OptiDev.\n";

/// Relays until the agent stops.
pub async fn serve(app: App, listener: TcpListener, egress: PathBuf) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.stop.cancelled() => return,
        };
        match accepted {
            Ok((client, _)) => {
                let relay = relay(client, egress.clone());
                let stop = app.stop.clone();
                app.tasks.spawn(stop.run_until_cancelled_owned(relay));
            }
            // Out of descriptors, most likely: wait for some to be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn relay(mut client: TcpStream, egress: PathBuf) {
    let _ = client.set_nodelay(true);
    match dial(&egress).await {
        Some(mut server) => {
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
        None => refuse(client).await,
    }
}

async fn dial(egress: &Path) -> Option<UnixStream> {
    UnixStream::connect(egress).await.ok()
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
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{AWAY}",
        AWAY.len()
    );
    let _ = client.write_all(answer.as_bytes()).await;
    let _ = client.shutdown().await;
}
