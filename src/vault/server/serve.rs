//! The loop: a thread for each connection, plain blocking reads and writes.
//!
//! Few system calls are needed, so few are allowed, and there is no runtime to trust. All requests
//! that arrived together are answered together: one write to the record and one to the socket.

use std::{
    io::{self, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{
    ops::{Answer, Vault},
    peer::{self, Admission, Peer},
    process,
    record::{Entry, Record},
};
use crate::vault::{
    protocol::{
        Buffer, decode_request, encode_anchors, encode_error, encode_reply, encode_status,
        split_frame,
    },
    types::{MAX_VALUE, VaultError},
};

/// Connections at the same time. A server needs one; the rest is room for its other roles.
const MAX_CONNECTIONS: usize = 64;

/// Enough for HPKE and JSON; the default of 2 MiB is for recursion that there is none of.
const STACK: usize = 512 * 1024;

const READ: usize = 64 * 1024;

/// What every connection shares.
pub struct Service {
    /// The keys and the rules.
    pub vault: Vault,
    /// Where reveals, deliveries and openings are written down.
    pub record: Record,
    /// Whose processes may connect, and as what.
    pub admission: Admission,
    /// The vault's clock: milliseconds since 1970.
    pub now_ms: fn() -> i64,
}

/// Accepts connections for ever.
pub fn serve(service: &Arc<Service>, listener: &UnixListener) -> io::Error {
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
        let place = Place::take(&open);
        let service = Arc::clone(service);
        let thread = std::thread::Builder::new()
            .name("connection".to_owned())
            .stack_size(STACK);
        let started = thread.spawn(move || {
            // A connection's end is its client's business; there is nobody else to tell.
            let _ = admit(&service, stream, &place);
        });
        if let Err(error) = started {
            // The stream went with the thread: the client sees it end and tries again.
            eprintln!("vault: cannot serve a connection: {error}");
        }
    }
}

/// One of the places for connections.
struct Place {
    open: Arc<AtomicUsize>,
    over: bool,
}

impl Place {
    fn take(open: &Arc<AtomicUsize>) -> Self {
        let before = open.fetch_add(1, Ordering::AcqRel);
        Self {
            open: Arc::clone(open),
            over: before >= MAX_CONNECTIONS,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

fn admit(service: &Service, mut stream: UnixStream, place: &Place) -> io::Result<()> {
    let (uid, pid) = peer::of(&stream)?;
    let admitted = service.admission.admit(uid, pid).and_then(|peer| {
        if place.over {
            return Err(format!(
                "{MAX_CONNECTIONS} connections are open, which is the most it takes"
            ));
        }
        Ok(peer)
    });
    match admitted {
        Ok(mut peer) => converse(service, &mut stream, &mut peer),
        Err(reason) => dismiss(&mut stream, &VaultError::Refused { reason }),
    }
}

fn converse(service: &Service, stream: &mut UnixStream, peer: &mut Peer) -> io::Result<()> {
    let mut incoming = Buffer::with_capacity(READ);
    let mut outgoing = Buffer::with_capacity(READ);
    loop {
        let count = match stream.read(incoming.grow(READ)) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        incoming.truncate_tail(READ - count);
        let broken = answer_all(service, &mut incoming, &mut outgoing, peer);
        stream.write_all(outgoing.as_slice())?;
        outgoing.clear();
        if let Err(detail) = broken {
            return dismiss(stream, &VaultError::Protocol { detail });
        }
    }
}

/// Answers every complete request in `incoming`. An error means that the stream makes no sense any
/// more; what was answered before still goes out.
fn answer_all(
    service: &Service,
    incoming: &mut Buffer,
    outgoing: &mut Buffer,
    peer: &mut Peer,
) -> Result<(), String> {
    let mut batch = Vec::new();
    let mut result = Ok(());
    loop {
        let taken = match split_frame(incoming.as_slice()) {
            Ok(None) => break,
            Ok(Some((body, taken))) => match decode_request(body) {
                Ok((id, request)) => {
                    let (done, entry) = service.vault.answer(&request, (service.now_ms)(), peer);
                    batch.push(Finished { id, done, entry });
                    taken
                }
                Err(error) => {
                    result = Err(error.to_string());
                    break;
                }
            },
            Err(error) => {
                result = Err(error.to_string());
                break;
            }
        };
        incoming.consume(taken);
    }
    let entries = batch.iter().filter_map(|finished| finished.entry.as_ref());
    let recorded = service.record.append(entries).is_ok();
    for Finished { id, done, entry } in batch {
        let done = if recorded || entry.is_none() {
            done
        } else {
            Err(VaultError::NotRecorded)
        };
        outgoing.extend(frame(id, done).as_slice());
    }
    result
}

struct Finished {
    id: u64,
    done: Result<Answer, VaultError>,
    entry: Option<Entry>,
}

fn frame(id: u64, done: Result<Answer, VaultError>) -> Buffer {
    let encoded = match done {
        Ok(answer) => encode_reply(id, room(&answer), |w| match &answer {
            Answer::Status(status) => encode_status(w, status),
            Answer::Bytes(bytes) => w.bytes(bytes),
            Answer::Values(values) => {
                w.u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
                for value in values {
                    w.bytes(value);
                }
            }
            Answer::Done => {}
            Answer::Mac(mac) => w.fixed(mac),
            Answer::Seq(seq) => w.i64(*seq),
            Answer::Anchors(anchors) => encode_anchors(w, anchors),
            Answer::SubmissionKey(key) => {
                w.u32(key.root);
                w.fixed(&key.public);
            }
            Answer::Delivery(enc, ciphertext) => {
                w.fixed(enc);
                w.bytes(ciphertext);
            }
            Answer::Seed(sealed, seed) => {
                w.bytes(sealed);
                w.bytes(seed.as_bytes());
            }
            Answer::Step(step) => {
                w.u8(u8::from(step.is_some()));
                w.i64(step.unwrap_or_default());
            }
        }),
        Err(error) => encode_error(id, &error),
    };
    encoded.unwrap_or_else(|_| {
        let error = VaultError::TooLarge {
            what: "the result".to_owned(),
            bytes: MAX_VALUE as u64 + 1,
            limit: MAX_VALUE as u64,
        };
        encode_error(id, &error).unwrap_or_default()
    })
}

fn room(answer: &Answer) -> usize {
    match answer {
        Answer::Bytes(bytes) => bytes.len(),
        Answer::Values(values) => values.iter().map(|value| value.len() + 4).sum(),
        Answer::Delivery(_, ciphertext) => ciphertext.len(),
        Answer::Status(_) => 1024,
        Answer::Anchors(anchors) => anchors.len() * 56,
        Answer::Mac(_)
        | Answer::Seq(_)
        | Answer::Done
        | Answer::Seed(..)
        | Answer::Step(_)
        | Answer::SubmissionKey(_) => 256,
    }
}

/// Says why, under the id that belongs to no request, and ends the connection.
fn dismiss(stream: &mut UnixStream, error: &VaultError) -> io::Result<()> {
    let frame = encode_error(0, error).unwrap_or_default();
    stream.write_all(frame.as_slice())
}
