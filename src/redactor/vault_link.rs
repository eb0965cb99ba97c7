//! The redactor's way to the vault: one blocking connection, made again when the vault was started again.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::vault::protocol::{
    BindingRef, Buffer, PatternRef, Reader, Request, decode_reply, encode_request, split_frame,
};
use crate::vault::server::RedactorToken;
use crate::vault::{MAX_PATTERNS, VaultError};

use super::protocol::HiddenRef;

/// How long the vault may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most sealed bytes that are sent at once: what comes back has to fit a frame.
const AT_ONCE: usize = 8 << 20;
const READ: usize = 64 * 1024;

/// A way to the vault.
pub struct VaultLink {
    socket: PathBuf,
    token: Option<Zeroizing<RedactorToken>>,
    open: Mutex<Option<UnixStream>>,
}

/// A value that the vault has opened.
pub type Value = Zeroizing<Vec<u8>>;

impl VaultLink {
    /// To the vault that listens on `socket`; with the token where it knows the redactor by that.
    pub fn new(socket: PathBuf, token: Option<Zeroizing<RedactorToken>>) -> Self {
        Self {
            socket,
            token,
            open: Mutex::new(None),
        }
    }

    /// The values, in the order of `hidden`.
    ///
    /// # Errors
    /// Why there are none, for people.
    pub fn open(
        &self,
        workspace: &[u8; 16],
        key: &[u8],
        hidden: &[HiddenRef<'_>],
    ) -> Result<Vec<Value>, String> {
        let mut values = Vec::with_capacity(hidden.len());
        let mut rest = hidden;
        while !rest.is_empty() {
            let (some, others) = rest.split_at(batch(rest));
            let items = some.iter().map(|one| PatternRef {
                binding: BindingRef {
                    workspace,
                    secret: one.secret,
                    version: one.version,
                    name: one.name,
                    purpose: one.purpose,
                    tier: one.tier,
                },
                sealed: one.sealed,
            });
            let request = Request::Patterns {
                key,
                items: items.collect(),
            };
            let opened = self.ask(&request, |mut r| {
                let opened =
                    r.list("values", |r| Ok(Zeroizing::new(r.bytes("value")?.to_vec())))?;
                r.end()?;
                Ok(opened)
            })?;
            if opened.len() != some.len() {
                return Err(
                    "the vault gave another number of values than were asked for".to_owned(),
                );
            }
            values.extend(opened);
            rest = others;
        }
        Ok(values)
    }

    /// Asks, and once more on a new connection when the old one has ended meanwhile.
    fn ask<T>(
        &self,
        request: &Request<'_>,
        read: impl Fn(Reader<'_>) -> Result<T, crate::vault::protocol::DecodeError>,
    ) -> Result<T, String> {
        let frame = encode_request(1, request).map_err(|error| error.to_string())?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lost = None;
        for _ in 0..2 {
            let stream = match open.take() {
                Some(stream) => Ok(stream),
                None => self.connect(),
            };
            let answered = stream.and_then(|mut stream| {
                let body = exchange(&mut stream, &frame)?;
                Ok((stream, body))
            });
            match answered {
                Ok((stream, body)) => {
                    let reply = reply(body.as_slice(), &read);
                    *open = Some(stream);
                    return reply;
                }
                Err(error) => lost = Some(error),
            }
        }
        let why = lost.map(|error| error.to_string()).unwrap_or_default();
        Err(format!("the vault does not answer: {why}"))
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        if let Some(token) = &self.token {
            let frame =
                encode_request(1, &Request::Redactor { token }).map_err(io::Error::other)?;
            let body = exchange(&mut stream, &frame)?;
            reply(body.as_slice(), |r| r.end()).map_err(io::Error::other)?;
        }
        Ok(stream)
    }
}

/// How many of them are asked for together.
fn batch(hidden: &[HiddenRef<'_>]) -> usize {
    let mut bytes = 0;
    let fits = hidden.iter().take(MAX_PATTERNS).take_while(|one| {
        bytes += one.sealed.len();
        bytes <= AT_ONCE
    });
    // One that is too large for all is the vault's to refuse.
    fits.count().max(1)
}

/// Sends a frame and reads one.
fn exchange(stream: &mut UnixStream, frame: &Buffer) -> io::Result<Buffer> {
    stream.write_all(frame.as_slice())?;
    let mut incoming = Buffer::with_capacity(READ);
    loop {
        if let Some((body, _)) = split_frame(incoming.as_slice()).map_err(io::Error::other)? {
            let mut whole = Buffer::with_capacity(body.len());
            whole.extend(body);
            return Ok(whole);
        }
        let count = match stream.read(incoming.grow(READ)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        incoming.truncate_tail(READ - count);
    }
}

fn reply<T>(
    body: &[u8],
    read: impl Fn(Reader<'_>) -> Result<T, crate::vault::protocol::DecodeError>,
) -> Result<T, String> {
    let (_, reply) = decode_reply(body).map_err(|error| error.to_string())?;
    let reader = reply.map_err(|error: VaultError| error.to_string())?;
    read(reader).map_err(|error| error.to_string())
}
