//! Requests. They borrow from the frame, so that a value is not copied before it is encrypted.

use super::{
    buffer::Buffer,
    wire::{DecodeError, Reader, Writer},
};
use crate::vault::types::{
    Binding, DeliverItem, MacPurpose, Purpose, Submission, SystemPurpose, Tier,
};

/// [`Binding`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingRef<'a> {
    /// The workspace's id.
    pub workspace: &'a [u8; 16],
    /// The secret's id.
    pub secret: &'a [u8; 16],
    /// The version.
    pub version: u32,
    /// The name.
    pub name: &'a str,
    /// What it is for.
    pub purpose: Purpose,
    /// Who may see it again.
    pub tier: Tier,
}

impl<'a> From<&'a Binding> for BindingRef<'a> {
    fn from(binding: &'a Binding) -> Self {
        Self {
            workspace: &binding.workspace,
            secret: &binding.secret,
            version: binding.version,
            name: &binding.name,
            purpose: binding.purpose,
            tier: binding.tier,
        }
    }
}

/// [`DeliverItem`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverRef<'a> {
    /// The environment variable.
    pub env: &'a str,
    /// What the ciphertext is bound to.
    pub binding: BindingRef<'a>,
    /// The ciphertext.
    pub sealed: &'a [u8],
    /// Whether references in it count.
    pub expand: bool,
}

/// [`Submission`], borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubmissionRef<'a> {
    /// The number of the root key.
    pub root: u32,
    /// The encapsulated key.
    pub enc: &'a [u8; 32],
    /// Ciphertext and tag.
    pub ciphertext: &'a [u8],
}

impl<'a> From<&'a Submission> for SubmissionRef<'a> {
    fn from(submission: &'a Submission) -> Self {
        Self {
            root: submission.root,
            enc: &submission.enc,
            ciphertext: &submission.ciphertext,
        }
    }
}

impl<'a> From<&'a DeliverItem> for DeliverRef<'a> {
    fn from(item: &'a DeliverItem) -> Self {
        Self {
            env: &item.env,
            binding: BindingRef::from(&item.binding),
            sealed: &item.sealed.0,
            expand: item.expand,
        }
    }
}

/// An operation with its arguments. It holds plaintext in some variants and so has no `Debug`.
#[derive(PartialEq, Eq)]
pub enum Request<'a> {
    /// Facts about the process; the reply is a `Status`.
    Status,
    /// A new random key for a workspace; the reply is the wrapped key.
    NewWorkspaceKey {
        /// The workspace.
        workspace: &'a [u8; 16],
    },
    /// The same workspace key under the current root key; the reply is the wrapped key.
    RewrapKey {
        /// The workspace.
        workspace: &'a [u8; 16],
        /// The wrapped key.
        key: &'a [u8],
    },
    /// Encrypts a value; the reply is the envelope.
    Seal {
        /// The wrapped workspace key.
        key: &'a [u8],
        /// What to bind it to.
        binding: BindingRef<'a>,
        /// The value.
        value: &'a [u8],
    },
    /// Decrypts a value for a person; the reply is the value.
    Reveal {
        /// The wrapped workspace key.
        key: &'a [u8],
        /// What it is bound to.
        binding: BindingRef<'a>,
        /// The envelope.
        sealed: &'a [u8],
    },
    /// Encrypts an environment to an agent; the reply is the encapsulated key and the ciphertext.
    Deliver {
        /// The wrapped workspace key.
        key: &'a [u8],
        /// The agent's public key (X25519).
        recipient: &'a [u8; 32],
        /// HPKE's `info`.
        info: &'a str,
        /// The secrets.
        items: Vec<DeliverRef<'a>>,
        /// Plain variables.
        extra: Vec<(&'a str, &'a [u8])>,
    },
    /// A keyed hash; the reply is its 32 bytes.
    Mac {
        /// Which key.
        purpose: MacPurpose,
        /// What to hash.
        data: &'a [u8],
    },
    /// A new seed for one-time passwords; the reply is the envelope and the seed in base32.
    TotpSeed {
        /// Whose.
        user: &'a [u8; 16],
    },
    /// Checks a one-time password; the reply is the accepted step or none.
    TotpVerify {
        /// Whose.
        user: &'a [u8; 16],
        /// The seed's envelope.
        sealed: &'a [u8],
        /// What the person typed.
        code: &'a str,
        /// The server's clock.
        now_ms: i64,
        /// The last accepted step.
        last_step: Option<i64>,
    },
    /// Encrypts a credential of the installation; the reply is the envelope.
    SealSystem {
        /// What it is for.
        purpose: SystemPurpose,
        /// Which of them.
        name: &'a str,
        /// The value.
        value: &'a [u8],
    },
    /// Decrypts a credential of the installation; the reply is the value.
    OpenSystem {
        /// What it is for.
        purpose: SystemPurpose,
        /// Which of them.
        name: &'a str,
        /// The envelope.
        sealed: &'a [u8],
    },
    /// Remembers the end of a chain of the audit log; the reply is the highest number known.
    Anchor {
        /// The entry's message.
        message: &'a [u8],
        /// Its MAC.
        mac: &'a [u8; 32],
    },
    /// What is remembered of all chains; the reply is a list.
    Anchors,
    /// The public key to which clients encrypt values; the reply is its root key's number and its 32 bytes.
    SubmissionKey,
    /// Encrypts a value that a client encrypted to the vault; the reply is the envelope.
    SealSubmitted {
        /// The wrapped workspace key.
        key: &'a [u8],
        /// What to bind it to.
        binding: BindingRef<'a>,
        /// The value.
        submission: SubmissionRef<'a>,
    },
    /// Encrypts a stored value anew without showing it: for another version, a stricter tier, or another key of the same
    /// workspace. The reply is the envelope.
    Reseal {
        /// The wrapped workspace key that it is sealed with.
        from_key: &'a [u8],
        /// What it is bound to.
        from: BindingRef<'a>,
        /// The envelope.
        sealed: &'a [u8],
        /// The wrapped workspace key to seal it with.
        to_key: &'a [u8],
        /// What to bind it to.
        to: BindingRef<'a>,
    },
    /// A credential of the installation under the current root key; the reply is the envelope.
    RewrapSystem {
        /// What it is for.
        purpose: SystemPurpose,
        /// Which of them.
        name: &'a str,
        /// The envelope.
        sealed: &'a [u8],
    },
    /// A seed for one-time passwords under the current root key; the reply is the envelope.
    RewrapTotp {
        /// Whose.
        user: &'a [u8; 16],
        /// The envelope.
        sealed: &'a [u8],
    },
}

impl Request<'_> {
    /// The operation's number on the wire.
    const fn code(&self) -> u8 {
        match self {
            Self::Status => 1,
            Self::NewWorkspaceKey { .. } => 2,
            Self::RewrapKey { .. } => 3,
            Self::Seal { .. } => 4,
            Self::Reveal { .. } => 5,
            Self::Deliver { .. } => 6,
            Self::Mac { .. } => 7,
            Self::TotpSeed { .. } => 8,
            Self::TotpVerify { .. } => 9,
            Self::SealSystem { .. } => 10,
            Self::OpenSystem { .. } => 11,
            Self::Anchor { .. } => 12,
            Self::Anchors => 13,
            Self::SubmissionKey => 14,
            Self::SealSubmitted { .. } => 15,
            Self::Reseal { .. } => 16,
            Self::RewrapSystem { .. } => 17,
            Self::RewrapTotp { .. } => 18,
        }
    }

    /// The operation's name in messages and in the record.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::NewWorkspaceKey { .. } => "new_workspace_key",
            Self::RewrapKey { .. } => "rewrap",
            Self::Seal { .. } => "seal",
            Self::Reveal { .. } => "reveal",
            Self::Deliver { .. } => "deliver",
            Self::Mac { .. } => "mac",
            Self::TotpSeed { .. } => "totp_seed",
            Self::TotpVerify { .. } => "totp_verify",
            Self::SealSystem { .. } => "seal_system",
            Self::OpenSystem { .. } => "open",
            Self::Anchor { .. } => "anchor",
            Self::Anchors => "anchors",
            Self::SubmissionKey => "submission_key",
            Self::SealSubmitted { .. } => "seal_submitted",
            Self::Reseal { .. } => "reseal",
            Self::RewrapSystem { .. } => "rewrap_system",
            Self::RewrapTotp { .. } => "rewrap_totp",
        }
    }

    /// About how many bytes the fields take, so that the frame is allocated once.
    fn room(&self) -> usize {
        const FIELDS: usize = 256;
        FIELDS
            + match self {
                Self::Seal {
                    key,
                    value,
                    binding,
                } => key.len() + value.len() + binding.name.len(),
                Self::Reveal {
                    key,
                    sealed,
                    binding,
                } => key.len() + sealed.len() + binding.name.len(),
                Self::Deliver {
                    items,
                    extra,
                    key,
                    info,
                    ..
                } => {
                    let items: usize = items
                        .iter()
                        .map(|item| {
                            64 + item.env.len() + item.binding.name.len() + item.sealed.len()
                        })
                        .sum();
                    let extra: usize = extra
                        .iter()
                        .map(|(name, value)| 8 + name.len() + value.len())
                        .sum();
                    key.len() + info.len() + items + extra
                }
                Self::Mac { data, .. } => data.len(),
                Self::SealSystem { name, value, .. } => name.len() + value.len(),
                Self::OpenSystem { name, sealed, .. } | Self::RewrapSystem { name, sealed, .. } => {
                    name.len() + sealed.len()
                }
                Self::SealSubmitted {
                    key,
                    binding,
                    submission,
                } => key.len() + binding.name.len() + submission.ciphertext.len(),
                Self::Reseal {
                    from_key,
                    from,
                    sealed,
                    to_key,
                    to,
                } => from_key.len() + to_key.len() + from.name.len() + to.name.len() + sealed.len(),
                _ => FIELDS,
            }
    }
}

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
            key,
            recipient,
            info,
            items,
            extra,
        } => {
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
