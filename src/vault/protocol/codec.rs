//! Requests as bytes and back.

use super::{
    buffer::Buffer,
    request::{BindingRef, DeliverRef, PatternRef, Request, SubmissionRef},
    wire::{DecodeError, Reader, Writer},
};
use crate::vault::types::{Audience, MacPurpose, Purpose, SystemPurpose, Tier};

/// The frame of a request.
///
/// # Errors
/// [`DecodeError::TooLong`] when the arguments do not fit in a frame.
pub fn encode_request(id: u64, request: &Request<'_>) -> Result<Buffer, DecodeError> {
    let mut w = Writer::new(id, request.code(), request.room());
    match request {
        Request::Status | Request::Anchors | Request::SubmissionKey => {}
        Request::Anchor { message, mac } => {
            w.bytes(message);
            w.fixed(*mac);
        }
        Request::NewWorkspaceKey { workspace } => w.fixed(*workspace),
        Request::RewrapKey { workspace, key } => {
            w.fixed(*workspace);
            w.bytes(key);
        }
        Request::Seal {
            key,
            binding,
            value,
        } => {
            w.bytes(key);
            put_binding(&mut w, binding);
            w.bytes(value);
        }
        Request::Reveal {
            key,
            binding,
            sealed,
        } => {
            w.bytes(key);
            put_binding(&mut w, binding);
            w.bytes(sealed);
        }
        Request::Deliver {
            audience,
            key,
            recipient,
            info,
            items,
            extra,
        } => {
            w.u8(audience.number());
            w.bytes(key);
            w.fixed(*recipient);
            w.bytes(info.as_bytes());
            w.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
            for item in items {
                w.bytes(item.env.as_bytes());
                put_binding(&mut w, &item.binding);
                w.bytes(item.sealed);
                w.u8(u8::from(item.expand));
            }
            w.u32(u32::try_from(extra.len()).unwrap_or(u32::MAX));
            for (name, value) in extra {
                w.bytes(name.as_bytes());
                w.bytes(value);
            }
        }
        Request::Mac { purpose, data } => {
            w.u8(purpose.number());
            w.bytes(data);
        }
        Request::TotpSeed { user } => w.fixed(*user),
        Request::TotpVerify {
            user,
            sealed,
            code,
            now_ms,
            last_step,
        } => {
            w.fixed(*user);
            w.bytes(sealed);
            w.bytes(code.as_bytes());
            w.i64(*now_ms);
            w.u8(u8::from(last_step.is_some()));
            w.i64(last_step.unwrap_or_default());
        }
        Request::SealSystem {
            purpose,
            name,
            value,
        } => {
            w.u8(purpose.number());
            w.bytes(name.as_bytes());
            w.bytes(value);
        }
        Request::SealSubmitted {
            key,
            binding,
            submission,
        } => {
            w.bytes(key);
            put_binding(&mut w, binding);
            w.u32(submission.root);
            w.fixed(submission.enc);
            w.bytes(submission.ciphertext);
        }
        Request::Reseal {
            from_key,
            from,
            sealed,
            to_key,
            to,
        } => {
            w.bytes(from_key);
            put_binding(&mut w, from);
            w.bytes(sealed);
            w.bytes(to_key);
            put_binding(&mut w, to);
        }
        Request::RewrapTotp { user, sealed } => {
            w.fixed(*user);
            w.bytes(sealed);
        }
        Request::Redactor { token } => w.fixed(*token),
        Request::Patterns { key, items } => {
            w.bytes(key);
            w.u32(u32::try_from(items.len()).unwrap_or(u32::MAX));
            for item in items {
                put_binding(&mut w, &item.binding);
                w.bytes(item.sealed);
            }
        }
        Request::OpenSystem {
            purpose,
            name,
            sealed,
        }
        | Request::RewrapSystem {
            purpose,
            name,
            sealed,
        } => {
            w.u8(purpose.number());
            w.bytes(name.as_bytes());
            w.bytes(sealed);
        }
    }
    w.finish()
}

/// A frame's body as a request, with its id.
///
/// # Errors
/// [`DecodeError`], whatever the bytes are; it never panics.
pub fn decode_request(body: &[u8]) -> Result<(u64, Request<'_>), DecodeError> {
    let mut r = Reader::new(body);
    let (id, code) = r.head()?;
    let request = match code {
        1 => Request::Status,
        2 => Request::NewWorkspaceKey {
            workspace: r.fixed("workspace")?,
        },
        3 => Request::RewrapKey {
            workspace: r.fixed("workspace")?,
            key: r.bytes("workspace key")?,
        },
        4 => Request::Seal {
            key: r.bytes("workspace key")?,
            binding: get_binding(&mut r)?,
            value: r.bytes("value")?,
        },
        5 => Request::Reveal {
            key: r.bytes("workspace key")?,
            binding: get_binding(&mut r)?,
            sealed: r.bytes("envelope")?,
        },
        6 => Request::Deliver {
            audience: r.number("audience", Audience::from_number)?,
            key: r.bytes("workspace key")?,
            recipient: r.fixed("recipient")?,
            info: r.text("info")?,
            items: r.list("items", |r| {
                Ok(DeliverRef {
                    env: r.text("variable")?,
                    binding: get_binding(r)?,
                    sealed: r.bytes("envelope")?,
                    expand: r.flag("expand")?,
                })
            })?,
            extra: r.list("extra", |r| Ok((r.text("variable")?, r.bytes("value")?)))?,
        },
        7 => Request::Mac {
            purpose: r.number("MAC purpose", MacPurpose::from_number)?,
            data: r.bytes("data")?,
        },
        8 => Request::TotpSeed {
            user: r.fixed("user")?,
        },
        9 => Request::TotpVerify {
            user: r.fixed("user")?,
            sealed: r.bytes("envelope")?,
            code: r.text("code")?,
            now_ms: r.i64("time")?,
            // None has one form only: no two frames mean the same.
            last_step: match (r.flag("last step")?, r.i64("last step")?) {
                (true, step) => Some(step),
                (false, 0) => None,
                (false, _) => {
                    return Err(DecodeError::Unknown {
                        field: "last step",
                        number: 0,
                    });
                }
            },
        },
        10 => Request::SealSystem {
            purpose: r.number("system purpose", SystemPurpose::from_number)?,
            name: r.text("name")?,
            value: r.bytes("value")?,
        },
        11 => Request::OpenSystem {
            purpose: r.number("system purpose", SystemPurpose::from_number)?,
            name: r.text("name")?,
            sealed: r.bytes("envelope")?,
        },
        12 => Request::Anchor {
            message: r.bytes("message")?,
            mac: r.fixed("MAC")?,
        },
        13 => Request::Anchors,
        14 => Request::SubmissionKey,
        15 => Request::SealSubmitted {
            key: r.bytes("workspace key")?,
            binding: get_binding(&mut r)?,
            submission: SubmissionRef {
                root: r.u32("root key")?,
                enc: r.fixed("encapsulated key")?,
                ciphertext: r.bytes("ciphertext")?,
            },
        },
        16 => Request::Reseal {
            from_key: r.bytes("workspace key")?,
            from: get_binding(&mut r)?,
            sealed: r.bytes("envelope")?,
            to_key: r.bytes("workspace key")?,
            to: get_binding(&mut r)?,
        },
        17 => Request::RewrapSystem {
            purpose: r.number("system purpose", SystemPurpose::from_number)?,
            name: r.text("name")?,
            sealed: r.bytes("envelope")?,
        },
        18 => Request::RewrapTotp {
            user: r.fixed("user")?,
            sealed: r.bytes("envelope")?,
        },
        19 => Request::Redactor {
            token: r.fixed("token")?,
        },
        20 => Request::Patterns {
            key: r.bytes("workspace key")?,
            items: r.list("items", |r| {
                Ok(PatternRef {
                    binding: get_binding(r)?,
                    sealed: r.bytes("envelope")?,
                })
            })?,
        },
        number => {
            return Err(DecodeError::Unknown {
                field: "operation",
                number: number.into(),
            });
        }
    };
    r.end()?;
    Ok((id, request))
}

fn put_binding(w: &mut Writer, binding: &BindingRef<'_>) {
    w.fixed(binding.workspace);
    w.fixed(binding.secret);
    w.u32(binding.version);
    w.bytes(binding.name.as_bytes());
    w.u8(binding.purpose.number());
    w.u8(binding.tier.number());
}

fn get_binding<'a>(r: &mut Reader<'a>) -> Result<BindingRef<'a>, DecodeError> {
    Ok(BindingRef {
        workspace: r.fixed("workspace")?,
        secret: r.fixed("secret")?,
        version: r.u32("version")?,
        name: r.text("name")?,
        purpose: r.number("purpose", Purpose::from_number)?,
        tier: r.number("tier", Tier::from_number)?,
    })
}
