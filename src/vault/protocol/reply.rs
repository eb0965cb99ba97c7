//! Replies: code 0 and the operation's own fields, or an error.

use super::{
    buffer::Buffer,
    wire::{DecodeError, Reader, Writer},
};
use crate::vault::types::{Anchor, Hardening, KeyMemory, Probe, RootKey, Status, VaultError};

const OK: u8 = 0;
const REFUSED: u8 = 1;
const DOES_NOT_DECRYPT: u8 = 2;
const TOO_LARGE: u8 = 3;
const THROTTLED: u8 = 4;
const NOT_RECORDED: u8 = 5;
const PROTOCOL: u8 = 6;

/// The frame of a success; `room` is about how long the fields are, `fields` writes them.
///
/// # Errors
/// [`DecodeError::TooLong`] when the result does not fit in a frame.
pub fn encode_reply(
    id: u64,
    room: usize,
    fields: impl FnOnce(&mut Writer),
) -> Result<Buffer, DecodeError> {
    let mut w = Writer::new(id, OK, room);
    fields(&mut w);
    w.finish()
}

/// The frame of an error.
///
/// # Errors
/// [`DecodeError::TooLong`]; the messages are short, so it does not happen.
pub fn encode_error(id: u64, error: &VaultError) -> Result<Buffer, DecodeError> {
    let code = match error {
        VaultError::Refused { .. } => REFUSED,
        VaultError::DoesNotDecrypt => DOES_NOT_DECRYPT,
        VaultError::TooLarge { .. } => TOO_LARGE,
        VaultError::Throttled { .. } => THROTTLED,
        VaultError::NotRecorded => NOT_RECORDED,
        VaultError::Unavailable { .. }
        | VaultError::Timeout { .. }
        | VaultError::Protocol { .. } => PROTOCOL,
    };
    let mut w = Writer::new(id, code, 256);
    match error {
        VaultError::Refused { reason } => w.bytes(reason.as_bytes()),
        VaultError::TooLarge { what, bytes, limit } => {
            w.bytes(what.as_bytes());
            w.u64(*bytes);
            w.u64(*limit);
        }
        VaultError::Throttled { retry_after_ms } => w.u64(*retry_after_ms),
        VaultError::DoesNotDecrypt | VaultError::NotRecorded => {}
        VaultError::Protocol { detail } => w.bytes(detail.as_bytes()),
        VaultError::Unavailable { .. } | VaultError::Timeout { .. } => {
            w.bytes(error.to_string().as_bytes());
        }
    }
    w.finish()
}

/// A frame's body as a reply: the request's id, and the result's fields or the error.
///
/// # Errors
/// [`DecodeError`], whatever the bytes are; it never panics.
pub fn decode_reply(body: &[u8]) -> Result<(u64, Result<Reader<'_>, VaultError>), DecodeError> {
    let mut r = Reader::new(body);
    let (id, code) = r.head()?;
    let error = match code {
        OK => return Ok((id, Ok(r))),
        REFUSED => VaultError::Refused {
            reason: r.text("reason")?.to_owned(),
        },
        DOES_NOT_DECRYPT => VaultError::DoesNotDecrypt,
        TOO_LARGE => VaultError::TooLarge {
            what: r.text("what")?.to_owned(),
            bytes: r.u64("bytes")?,
            limit: r.u64("limit")?,
        },
        THROTTLED => VaultError::Throttled {
            retry_after_ms: r.u64("retry after")?,
        },
        NOT_RECORDED => VaultError::NotRecorded,
        PROTOCOL => VaultError::Protocol {
            detail: r.text("detail")?.to_owned(),
        },
        number => {
            return Err(DecodeError::Unknown {
                field: "reply",
                number: number.into(),
            });
        }
    };
    r.end()?;
    Ok((id, Err(error)))
}

/// Writes a status.
pub fn encode_status(w: &mut Writer, status: &Status) {
    let hardening = &status.hardening;
    w.fixed(&status.install);
    w.u32(status.pid);
    w.u32(u32::try_from(status.root_keys.len()).unwrap_or(u32::MAX));
    for key in &status.root_keys {
        w.u32(key.number);
        w.fixed(&key.fingerprint);
    }
    w.u8(hardening.key_memory as u8);
    for fact in [
        hardening.not_dumpable,
        hardening.no_core,
        hardening.no_new_privileges,
        hardening.no_capabilities,
        hardening.seccomp,
    ] {
        w.u8(u8::from(fact));
    }
    w.u32(hardening.landlock_abi);
    w.u32(u32::try_from(hardening.probes.len()).unwrap_or(u32::MAX));
    for probe in &hardening.probes {
        w.bytes(probe.name.as_bytes());
        w.u32(probe.errno.unsigned_abs());
        w.u8(u8::from(probe.refused));
    }
}

/// Reads a status.
///
/// # Errors
/// [`DecodeError`], whatever the bytes are.
pub fn decode_status(mut r: Reader<'_>) -> Result<Status, DecodeError> {
    let install = *r.fixed("installation")?;
    let pid = r.u32("process id")?;
    let root_keys = r.list("root keys", |r| {
        Ok(RootKey {
            number: r.u32("root key")?,
            fingerprint: *r.fixed("fingerprint")?,
        })
    })?;
    let key_memory = r.number("key memory", |number| match number {
        1 => Some(KeyMemory::MemfdSecret),
        2 => Some(KeyMemory::Locked),
        3 => Some(KeyMemory::Plain),
        _ => None,
    })?;
    let hardening = Hardening {
        key_memory,
        not_dumpable: r.flag("not dumpable")?,
        no_core: r.flag("no core")?,
        no_new_privileges: r.flag("no new privileges")?,
        no_capabilities: r.flag("no capabilities")?,
        seccomp: r.flag("seccomp")?,
        landlock_abi: r.u32("landlock")?,
        probes: r.list("probes", |r| {
            Ok(Probe {
                name: r.text("probe")?.to_owned(),
                errno: i32::try_from(r.u32("errno")?).unwrap_or(i32::MAX),
                refused: r.flag("refused")?,
            })
        })?,
    };
    r.end()?;
    Ok(Status {
        install,
        pid,
        root_keys,
        hardening,
    })
}

/// Writes anchors.
pub fn encode_anchors(w: &mut Writer, anchors: &[Anchor]) {
    w.u32(u32::try_from(anchors.len()).unwrap_or(u32::MAX));
    for anchor in anchors {
        w.fixed(&anchor.chain);
        w.i64(anchor.seq);
        w.fixed(&anchor.mac);
    }
}

/// Reads anchors.
///
/// # Errors
/// [`DecodeError`], whatever the bytes are.
pub fn decode_anchors(mut r: Reader<'_>) -> Result<Vec<Anchor>, DecodeError> {
    let anchors = r.list("anchors", |r| {
        Ok(Anchor {
            chain: *r.fixed("chain")?,
            seq: r.i64("number")?,
            mac: *r.fixed("MAC")?,
        })
    })?;
    r.end()?;
    Ok(anchors)
}
