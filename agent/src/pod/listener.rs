//! The one port of an agent in a pod.
//!
//! Always holds: a connection reaches the router after a whole handshake, with the broker's certificate; there is nothing
//! else on the port. Handshakes are bounded in number and time, so strangers cannot use up the agent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::App;

/// Handshakes at the same time; more wait in the kernel's queue.
const HANDSHAKES: usize = 64;
/// The longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A broker that is gone without a word is noticed after a few minutes, and what it held is freed.
const KEEPALIVE: Duration = Duration::from_secs(60);

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// Hands out connections whose handshake is done.
pub struct TlsListener {
    accepted: mpsc::Receiver<Accepted>,
    address: SocketAddr,
}

impl TlsListener {
    /// Takes connections until the agent stops.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn start(listener: TcpListener, config: Arc<ServerConfig>, app: &App) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(1);
        let taking = take(listener, TlsAcceptor::from(config), app.clone(), sender);
        app.tasks
            .spawn(app.stop.clone().run_until_cancelled_owned(taking));
        Ok(Self { accepted, address })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The agent stops, and this server with it.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn take(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    app: App,
    sender: mpsc::Sender<Accepted>,
) {
    let permits = Arc::new(Semaphore::new(HANDSHAKES));
    // The semaphore is never closed.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let (socket, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of descriptors, most likely: wait for some to be closed.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        let handshake = async move {
            let _ = prepare(&socket);
            let done = tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await;
            drop(permit);
            // Who fails is told by TLS; a line for each would let strangers fill the log.
            if let Ok(Ok(stream)) = done {
                let _ = sender.send((stream, peer)).await;
            }
        };
        app.tasks
            .spawn(app.stop.clone().run_until_cancelled_owned(handshake));
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE)?;
    Ok(())
}
