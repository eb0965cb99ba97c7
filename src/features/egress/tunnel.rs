//! An established CONNECT tunnel: the first bytes are judged, then everything is relayed until both sides are done.

use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::client_hello::{self, Hello};
use super::host::{Host, Target};
use super::refusal::Refusal;

/// Time for a client to send its TLS hello.
const HELLO: Duration = Duration::from_secs(30);
/// A tunnel in which nothing moves for this long ends.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// A fatal `access_denied` alert (RFC 8446, section 6), so that TLS clients say something better than "closed".
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// Relays between the container and the destination.
///
/// # Errors
/// The refusal, when the client's first bytes are not what was asked for; nothing reached the destination then.
pub async fn run<S, F>(
    client: S,
    upstream: TcpStream,
    target: &Target,
    approved: F,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: FnOnce(),
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_upstream, mut to_upstream) = upstream.into_split();
    let moved = Moved::default();
    let outcome = {
        // On port 443 nothing flows either way before the hello is approved. On other ports the server may speak
        // first (SSH does), so that only the client's side waits.
        let strict = target.port == 443;
        let (open, opened) = tokio::sync::oneshot::channel::<()>();
        let up = async {
            let first = judge(&mut from_client, target, strict).await?;
            approved();
            let _ = open.send(());
            if to_upstream.write_all(&first).await.is_ok() {
                relay(&mut from_client, &mut to_upstream, &moved).await;
            }
            Ok(())
        };
        let down = async {
            if strict && opened.await.is_err() {
                return Ok(());
            }
            relay(&mut from_upstream, &mut to_client, &moved).await;
            Ok(())
        };
        tokio::select! {
            outcome = async { tokio::try_join!(up, down) } => outcome.map(|_| ()),
            () = moved.idle() => Ok(()),
        }
    };
    if outcome.is_err() {
        let _ = to_client.write_all(&ALERT).await;
        let _ = to_client.shutdown().await;
    }
    outcome
}

/// Reads until it is clear whether the client's side may flow; gives the bytes that were read.
async fn judge<R: AsyncRead + Unpin>(
    from: &mut R,
    target: &Target,
    strict: bool,
) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    loop {
        let hello = client_hello::read(&bytes);
        // Elsewhere than on 443, what does not begin like TLS is another protocol. Any record is like TLS: servers pass
        // over an alert that only warns, and would read the hello behind it.
        let looks_like_tls = matches!(bytes.as_slice(), [20..=23, 3, ..]);
        let may_be_tls = matches!(bytes.as_slice(), [20..=23]);
        match hello {
            Hello::Complete(name) => return approve(name, target).map(|()| bytes),
            Hello::Invalid if strict || looks_like_tls => {
                return Err(Refusal::NotTls(target.clone()));
            }
            Hello::Invalid if !may_be_tls => return Ok(bytes),
            Hello::Invalid | Hello::Incomplete => {}
        }
        let wait = async {
            // On other ports a client may rightly wait for the server's first word.
            if strict || !bytes.is_empty() {
                timeout(HELLO, from.read_buf(&mut bytes)).await.ok()
            } else {
                Some(from.read_buf(&mut bytes).await)
            }
        };
        match wait.await {
            Some(Ok(read)) if read > 0 => {}
            Some(_) if bytes.is_empty() && !strict => return Ok(bytes),
            _ => return Err(Refusal::NotTls(target.clone())),
        }
    }
}

fn approve(name: Option<String>, target: &Target) -> Result<(), Refusal> {
    match (name, &target.host) {
        // RFC 6066 allows names only: a client that goes to a listed address has none to send.
        (None, Host::Address(_)) => Ok(()),
        (None, Host::Name(_)) => Err(Refusal::NoServerName(target.clone())),
        (Some(name), host) if Host::parse(&name).as_ref() == Ok(host) => Ok(()),
        (Some(server_name), _) => {
            let server_name = server_name.chars().take(253).collect();
            Err(Refusal::OtherServerName {
                target: target.clone(),
                server_name,
            })
        }
    }
}

/// Copies until the end or an error, then closes the writing side: the other direction may go on.
async fn relay<R, W>(from: &mut R, to: &mut W, moved: &Moved)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0u8; 32 * 1024];
    while let Ok(read) = from.read(&mut buffer).await {
        moved.now();
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// When something last moved in either direction.
struct Moved(Mutex<Instant>);

impl Default for Moved {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Moved {
    fn now(&self) {
        *self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    }

    /// Returns when nothing has moved for [`IDLE`].
    async fn idle(&self) {
        loop {
            let end = *self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                + IDLE;
            if Instant::now() >= end {
                return;
            }
            sleep_until(end).await;
        }
    }
}
