//! `optidev redactor`: the process.
//!
//! Order of its life, as the vault's: give up being traced or dumped; open the socket; give up everything else; then answer.
//! It keeps nothing on a disk, and may be killed at any moment and started again: the server tells it anew what it needs.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a process of its own, with no tracing, tokio or kernel services: it speaks on standard error and ends by exit code"
)]

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

use super::holdings::Holdings;
use super::matching::{Known, Patterns};
use super::protocol::{HiddenRef, MAX_FRAME, MAX_HIDDEN, Reply, Request};
use super::vault_link::VaultLink;
use crate::vault::protocol::Buffer;
use crate::vault::server::{Token, exit, harden, peer, process};
use crate::vault::{Hardening, Tier};

/// Connections at the same time. Each holds a text and what becomes of it.
const MAX_CONNECTIONS: usize = 32;
const STACK: usize = 1 << 20;
/// How long a connection may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the process needs to know.
pub struct Options {
    /// Where it listens. An old socket there is replaced.
    pub socket: PathBuf,
    /// Where the vault listens.
    pub vault: PathBuf,
    /// What the vault knows it by; without one, it is known there by its user.
    pub token: Option<Zeroizing<Token>>,
    /// The user of the server, the only one that may connect; its own when absent.
    pub client_uid: Option<u32>,
    /// End when standard input does.
    pub die_with_parent: bool,
    /// Do not start unless every hardening is in force.
    pub require_hardening: bool,
}

struct Service {
    holdings: Holdings,
    vault: VaultLink,
    missing: Vec<String>,
    uid: u32,
}

/// Runs the process until it is stopped. Must be called before any thread was started, and after
/// [`harden::before_secrets`].
pub fn run(options: Options) -> ! {
    std::panic::set_hook(Box::new(|panic| {
        // The place only: a panic's message may hold what it was working on.
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        eprintln!("redactor: internal error at {place}; the connection was closed");
    }));
    harden::end_on_signals();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let own = rustix::process::geteuid().as_raw();
    let uid = options.client_uid.unwrap_or(own);
    let listener = match process::listen(&options.socket, uid == own) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!(
                "redactor: cannot listen on {}: {error}",
                options.socket.display()
            );
            std::process::exit(exit::SOCKET);
        }
    };
    let missing = missing(&harden::redactor());
    if !missing.is_empty() {
        let list = missing.join(", ");
        if options.require_hardening {
            eprintln!(
                "redactor: hardening is required and this system lacks: {list}; use a kernel that has it, or set [vault] \
                 require_hardening = false"
            );
            std::process::exit(exit::HARDENING);
        }
        eprintln!("redactor: this system lacks {list}; the redactor runs with what there is");
    }
    if options.die_with_parent {
        process::watch_parent();
    }
    let service = Service {
        holdings: Holdings::default(),
        vault: VaultLink::new(options.vault, options.token),
        missing,
        uid,
    };
    let error = serve(&Arc::new(service), &listener);
    eprintln!("redactor: cannot accept connections any more: {error}");
    std::process::exit(1)
}

/// It has no root keys, so where those would be does not matter.
fn missing(hardening: &Hardening) -> Vec<String> {
    let missing = hardening.missing().into_iter();
    missing.filter(|what| !what.contains("root keys")).collect()
}

fn serve(service: &Arc<Service>, listener: &UnixListener) -> io::Error {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if process::accept_again(&error) => {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            Err(error) => return error,
        };
        // Those who come now wait in the listener's queue until others are done.
        while open.load(Ordering::Acquire) >= MAX_CONNECTIONS {
            std::thread::sleep(Duration::from_millis(1));
        }
        let place = Place::take(&open);
        let service = Arc::clone(service);
        let thread = std::thread::Builder::new()
            .name("connection".to_owned())
            .stack_size(STACK);
        let started = thread.spawn(move || {
            let _place = place;
            // A connection's end is its client's business; there is nobody else to tell.
            let _ = answer(&service, stream);
        });
        if let Err(error) = started {
            eprintln!("redactor: cannot serve a connection: {error}");
        }
    }
}

struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One request, one reply.
fn answer(service: &Service, mut stream: UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (uid, _) = peer::of(&stream)?;
    if uid != service.uid {
        let why = format!(
            "it answers user {} only, and this process runs as user {uid}",
            service.uid
        );
        send(&mut stream, &Reply::Failed(&why))?;
        return drain(&mut stream);
    }
    let body = receive(&mut stream)?;
    match Request::decode(body.as_slice()) {
        Ok(Request::Status) => {
            let missing = service.missing.iter().map(String::as_str).collect();
            send(&mut stream, &Reply::Missing(missing))
        }
        Ok(Request::Redact {
            workspace,
            state,
            body,
        }) => redact(service, &mut stream, (workspace, state), body),
        Ok(Request::Load {
            workspace,
            state,
            key,
            hidden,
        }) => load(service, &mut stream, (workspace, state), key, &hidden),
        Err(error) => send(&mut stream, &Reply::Failed(&error.to_string())),
    }
}

fn redact(
    service: &Service,
    stream: &mut UnixStream,
    (workspace, state): (&[u8; 16], &[u8; 32]),
    body: &[u8],
) -> io::Result<()> {
    let Some(patterns) = service.holdings.find(workspace, state) else {
        return send(stream, &Reply::NotLoaded);
    };
    match patterns.redact(body) {
        None => send(stream, &Reply::Clean),
        Some(redacted) => {
            let found = redacted.found.iter();
            let found = found.map(|(name, count)| (name.as_str(), *count)).collect();
            let body = &redacted.body;
            send(stream, &Reply::Redacted { found, body })
        }
    }
}

fn load(
    service: &Service,
    stream: &mut UnixStream,
    (workspace, state): (&[u8; 16], &[u8; 32]),
    key: &[u8],
    hidden: &[HiddenRef<'_>],
) -> io::Result<()> {
    if hidden.len() > MAX_HIDDEN || hidden.iter().any(|one| one.tier == Tier::Visible) {
        let why = "these are too many values, or some are not hidden";
        return send(stream, &Reply::Failed(why));
    }
    let values = match service.vault.open(workspace, key, hidden) {
        Ok(values) => values,
        Err(why) => return send(stream, &Reply::Failed(&why)),
    };
    let known = hidden.iter().zip(&values).map(|(one, value)| Known {
        name: one.name,
        value,
    });
    match Patterns::new(known) {
        Ok((patterns, unlooked)) => {
            service.holdings.put(*workspace, *state, patterns);
            let unlooked = unlooked.iter().map(|(name, why)| (name.as_str(), *why));
            send(stream, &Reply::Loaded(unlooked.collect()))
        }
        Err(error) => send(stream, &Reply::Failed(&error.to_string())),
    }
}

/// A whole frame. What it holds is wiped afterwards.
fn receive(stream: &mut UnixStream) -> io::Result<Buffer> {
    const STEP: usize = 256 * 1024;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Memory for what has come, not for what was announced.
    let mut body = Buffer::default();
    while body.len() < length {
        let some = STEP.min(length - body.len());
        stream.read_exact(body.grow(some))?;
    }
    Ok(body)
}

/// Reads what was sent all the same: an end with something unread would take back the answer.
fn drain(stream: &mut UnixStream) -> io::Result<()> {
    const MOST: u64 = 1 << 20;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream.take(MOST), &mut io::sink()).map(drop)
}

fn send(stream: &mut UnixStream, reply: &Reply<'_>) -> io::Result<()> {
    let frame = reply
        .encode()
        .or_else(|_| Reply::Failed("the redacted text is too long").encode());
    stream.write_all(frame.map_err(io::Error::other)?.as_slice())
}
