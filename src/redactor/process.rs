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
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::holdings::Holdings;
use super::matching::{Known, Patterns, TooMuch, Unlooked};
use super::pace::{Pace, Room};
use super::protocol::{HiddenRef, MAX_FRAME, MAX_HIDDEN, Of, Reply, Request};
use super::vault_link::{Value, VaultLink};
use crate::vault::Tier;
use crate::vault::protocol::Buffer;
use crate::vault::server::{Rate, RedactorToken, Throttle, exit, harden, peer, process};

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
    pub token: Option<Zeroizing<RedactorToken>>,
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
    loading: Mutex<()>,
    room: Room,
    started: Instant,
    unusual: Mutex<Throttle<[u8; 16]>>,
    missing: Vec<String>,
    uid: u32,
}

/// Runs the process until it is stopped. Must be called before any thread was started, and after
/// [`harden::before_secrets`].
pub fn run(options: Options) -> ! {
    process::quiet_panics("redactor");
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
    let missing = harden::lock_in_redactor().missing_beside_keys();
    if !missing.is_empty() {
        let list = missing.join(", ");
        if options.require_hardening {
            eprintln!(
                "redactor: hardening is required and this system lacks: {list}; use a kernel that has it, or set [vault] \
                 require_hardening = false (for one that is started apart: leave out --require-hardening)"
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
        loading: Mutex::new(()),
        room: Room::default(),
        started: Instant::now(),
        unusual: Mutex::new(Throttle::new(UNUSUALLY_LONG)),
        missing,
        uid,
    };
    let error = serve(&Arc::new(service), &listener);
    eprintln!("redactor: cannot accept connections any more: {error}");
    std::process::exit(1)
}

/// Its own loop, not the vault's: it waits where that one dismisses, because a text is worth waiting for.
fn serve(service: &Arc<Service>, listener: &UnixListener) -> io::Error {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if process::accept_again(&error) => {
                // Out of descriptors or memory: others must close first.
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
        Ok(Request::Redact { of, state, body }) => redact(service, &mut stream, (of, state), body),
        Ok(Request::Load {
            of,
            state,
            key,
            current,
            hidden,
        }) => {
            let hidden = (current as usize, hidden.as_slice());
            load(service, &mut stream, (of, state), key, hidden)
        }
        Err(error) => send(&mut stream, &Reply::Failed(&error.to_string())),
    }
}

fn redact(
    service: &Service,
    stream: &mut UnixStream,
    (of, state): (Of, &[u8; 32]),
    body: &[u8],
) -> io::Result<()> {
    let patterns = match service.holdings.find(&of, state) {
        None => return send(stream, &Reply::NotLoaded),
        Some(Err(why)) => return send(stream, &Reply::TooMany(&why)),
        Some(Ok(patterns)) => patterns,
    };
    let room = service.room.take(body.len());
    let pace = Pace::begin(body.len());
    let redacted = patterns.redact(body);
    let too_many = !pace.is_usual() && service.is_one_too_many(of);
    let redacted = match redacted {
        _ if too_many => Err(UNUSUAL.to_owned()),
        Err(_) => Err(COSTLY.to_owned()),
        Ok(Some(redacted)) if !redacted.kept.is_empty() => {
            let names: Vec<&str> = redacted
                .kept
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            Err(format!(
                "it holds the value of {} in a part that must not be changed: a picture, a document, or thinking of the model. \
                 Leave that part out, or begin a new conversation",
                names.join(", ")
            ))
        }
        Ok(redacted) => Ok(redacted),
    };
    let reply = match &redacted {
        Err(why) => Reply::Unsendable(why),
        Ok(None) => Reply::Clean,
        Ok(Some(redacted)) => {
            let found = redacted.found.iter();
            Reply::Redacted {
                found: found.map(|(name, count)| (name.as_str(), *count)).collect(),
                body: &redacted.body,
            }
        }
    };
    let frame = encode(&reply)?;
    drop(room);
    pace.end(if too_many { COARSE } else { 1 });
    stream.write_all(frame.as_slice())
}

const COSTLY: &str =
    "it holds values, or beginnings of values, in too many places. Send less of that at once";
const UNUSUAL: &str = "requests of this workspace took unusually long to look through, again and again. Try again in a minute";

/// How often a workspace's text may take longer than is hidden. Beyond that it is refused, and how long it took is told more
/// coarsely, by so many times.
const UNUSUALLY_LONG: Rate = Rate {
    per_minute: 1,
    burst: 20,
};
const COARSE: u32 = 8;

impl Service {
    /// Counts a text that took unusually long.
    fn is_one_too_many(&self, of: Of) -> bool {
        let mut unusual = self.unusual.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = unusual.take(of.workspace, 1, self.started.elapsed());
        taken.is_err()
    }
}

fn load(
    service: &Service,
    stream: &mut UnixStream,
    (of, state): (Of, &[u8; 32]),
    key: &[u8],
    (current, hidden): (usize, &[HiddenRef<'_>]),
) -> io::Result<()> {
    // One at a time: the most memory is needed here.
    let _turn = service
        .loading
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match service.holdings.find(&of, state) {
        None => {}
        // Somebody else was told just now.
        Some(Ok(_)) => return send(stream, &Reply::Loaded(Vec::new())),
        Some(Err(why)) => return send(stream, &Reply::TooMany(&why)),
    }
    if hidden.len() > MAX_HIDDEN || hidden.iter().any(|one| one.tier == Tier::Visible) {
        let why = "these are too many values, or some are not hidden";
        return send(stream, &Reply::Failed(why));
    }
    let values = match service.vault.open(&of.workspace, key, hidden) {
        Ok(values) => values,
        Err(why) => return send(stream, &Reply::Failed(&why)),
    };
    match patterns(hidden, &values, current) {
        Ok((patterns, unlooked)) => {
            service.holdings.put(of, *state, Ok(Arc::new(patterns)));
            let unlooked = unlooked.iter().map(|(name, why)| (name.as_str(), *why));
            send(stream, &Reply::Loaded(unlooked.collect()))
        }
        Err(error) => {
            let why: Arc<str> =
                format!("{error}; delete secrets that are not needed, or make large ones smaller")
                    .into();
            service.holdings.put(of, *state, Err(Arc::clone(&why)));
            send(stream, &Reply::TooMany(&why))
        }
    }
}

/// Of all values, or of as many of those that were replaced as there is room for beside the `current` ones.
fn patterns(
    hidden: &[HiddenRef<'_>],
    values: &[Value],
    current: usize,
) -> Result<(Patterns, Vec<(String, Unlooked)>), TooMuch> {
    let mut retired = hidden.len().saturating_sub(current);
    loop {
        let known = hidden.iter().zip(values).map(|(one, value)| Known {
            name: one.name,
            value,
        });
        match Patterns::new(known.take(current.saturating_add(retired))) {
            Err(_) if retired > 0 => retired /= 2,
            made => return made,
        }
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
    stream.write_all(encode(reply)?.as_slice())
}

fn encode(reply: &Reply<'_>) -> io::Result<Buffer> {
    let frame = reply
        .encode()
        .or_else(|_| Reply::Unsendable(COSTLY).encode());
    frame.map_err(io::Error::other)
}
