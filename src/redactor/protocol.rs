//! What server and redactor say to each other: one request and one reply on a connection, in the vault's frames.

use crate::vault::protocol::{Buffer, DecodeError, Reader, Writer};
use crate::vault::{Purpose, Tier};

use super::matching::Unlooked;

/// The longest frame: the longest text that the gateway passes on, and what is said about it.
pub const MAX_FRAME: usize = 34 << 20;

/// The most hidden values of a workspace that are looked for.
pub const MAX_HIDDEN: usize = 16_384;

/// A hidden value, borrowed from a frame.
pub struct HiddenRef<'a> {
    /// The variable that stands in its place.
    pub name: &'a str,
    /// The secret's id.
    pub secret: &'a [u8; 16],
    /// Its version.
    pub version: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// Its tier.
    pub tier: Tier,
    /// The vault's ciphertext.
    pub sealed: &'a [u8],
}

/// What is asked.
pub enum Request<'a> {
    /// What the process lacks of its hardening; [`Reply::Missing`].
    Status,
    /// Find hidden values in a text. [`Reply::Clean`], [`Reply::Redacted`], or [`Reply::NotLoaded`].
    Redact {
        /// Whose.
        workspace: &'a [u8; 16],
        /// Which state of its secrets has to be known.
        state: &'a [u8; 32],
        /// The text.
        body: &'a [u8],
    },
    /// Learn a workspace's hidden values. [`Reply::Loaded`].
    Load {
        /// Whose.
        workspace: &'a [u8; 16],
        /// Which state this is.
        state: &'a [u8; 32],
        /// The wrapped workspace key.
        key: &'a [u8],
        /// The values, sealed.
        hidden: Vec<HiddenRef<'a>>,
    },
}

/// What comes back.
pub enum Reply<'a> {
    /// Nothing is missing but this.
    Missing(Vec<&'a str>),
    /// The text holds none of them.
    Clean,
    /// It held some.
    Redacted {
        /// Which and how often.
        found: Vec<(&'a str, u32)>,
        /// The text without them.
        body: &'a [u8],
    },
    /// The workspace, or this state of it, is not known: load it first.
    NotLoaded,
    /// It is known now. Those are not looked for.
    Loaded(Vec<(&'a str, Unlooked)>),
    /// It was not done, in words.
    Failed(&'a str),
}

impl Request<'_> {
    /// The frame.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`]
    pub fn encode(&self) -> Result<Buffer, DecodeError> {
        let writer = |code, room| Writer::new(0, code, room);
        let w = match self {
            Self::Status => writer(1, 0),
            Self::Redact {
                workspace,
                state,
                body,
            } => {
                let mut w = writer(2, body.len() + 64);
                w.fixed(*workspace);
                w.fixed(*state);
                w.bytes(body);
                w
            }
            Self::Load {
                workspace,
                state,
                key,
                hidden,
            } => {
                let room = hidden
                    .iter()
                    .map(|one| 64 + one.name.len() + one.sealed.len());
                let mut w = writer(3, room.sum::<usize>() + 128);
                w.fixed(*workspace);
                w.fixed(*state);
                w.bytes(key);
                w.u32(u32::try_from(hidden.len()).unwrap_or(u32::MAX));
                for one in hidden {
                    w.bytes(one.name.as_bytes());
                    w.fixed(one.secret);
                    w.u32(one.version);
                    w.u8(one.purpose.number());
                    w.u8(one.tier.number());
                    w.bytes(one.sealed);
                }
                w
            }
        };
        w.finish_within(MAX_FRAME)
    }

    /// From a frame's body.
    ///
    /// # Errors
    /// [`DecodeError`], whatever the bytes are; it never panics.
    pub fn decode(body: &[u8]) -> Result<Request<'_>, DecodeError> {
        let mut r = Reader::new(body);
        let (_, code) = r.head()?;
        let request = match code {
            1 => Request::Status,
            2 => Request::Redact {
                workspace: r.fixed("workspace")?,
                state: r.fixed("state")?,
                body: r.bytes("text")?,
            },
            3 => Request::Load {
                workspace: r.fixed("workspace")?,
                state: r.fixed("state")?,
                key: r.bytes("workspace key")?,
                hidden: r.list("hidden values", |r| {
                    Ok(HiddenRef {
                        name: r.text("name")?,
                        secret: r.fixed("secret")?,
                        version: r.u32("version")?,
                        purpose: r.number("purpose", Purpose::from_number)?,
                        tier: r.number("tier", Tier::from_number)?,
                        sealed: r.bytes("envelope")?,
                    })
                })?,
            },
            number => return Err(unknown("operation", number)),
        };
        r.end()?;
        Ok(request)
    }
}

impl Reply<'_> {
    /// The frame.
    ///
    /// # Errors
    /// [`DecodeError::TooLong`]
    pub fn encode(&self) -> Result<Buffer, DecodeError> {
        let writer = |code, room| Writer::new(0, code, room);
        let w = match self {
            Self::Missing(missing) => {
                let mut w = writer(1, 1024);
                w.u32(u32::try_from(missing.len()).unwrap_or(u32::MAX));
                for one in missing {
                    w.bytes(one.as_bytes());
                }
                w
            }
            Self::Clean => writer(2, 0),
            Self::Redacted { found, body } => {
                let mut w = writer(3, body.len() + found.len() * 64);
                w.u32(u32::try_from(found.len()).unwrap_or(u32::MAX));
                for (name, count) in found {
                    w.bytes(name.as_bytes());
                    w.u32(*count);
                }
                w.bytes(body);
                w
            }
            Self::NotLoaded => writer(4, 0),
            Self::Loaded(unlooked) => {
                let mut w = writer(5, unlooked.len() * 32);
                w.u32(u32::try_from(unlooked.len()).unwrap_or(u32::MAX));
                for (name, why) in unlooked {
                    w.bytes(name.as_bytes());
                    w.u8(match why {
                        Unlooked::TooShort => 1,
                        Unlooked::TooCommon => 2,
                    });
                }
                w
            }
            Self::Failed(why) => {
                let mut w = writer(6, why.len());
                w.bytes(why.as_bytes());
                w
            }
        };
        w.finish_within(MAX_FRAME)
    }

    /// From a frame's body.
    ///
    /// # Errors
    /// [`DecodeError`], whatever the bytes are; it never panics.
    pub fn decode(body: &[u8]) -> Result<Reply<'_>, DecodeError> {
        let mut r = Reader::new(body);
        let (_, code) = r.head()?;
        let reply = match code {
            1 => Reply::Missing(r.list("missing", |r| r.text("missing"))?),
            2 => Reply::Clean,
            3 => Reply::Redacted {
                found: r.list("found", |r| Ok((r.text("name")?, r.u32("count")?)))?,
                body: r.bytes("text")?,
            },
            4 => Reply::NotLoaded,
            5 => Reply::Loaded(r.list("not looked for", |r| {
                let name = r.text("name")?;
                let why = r.number("why", |number| match number {
                    1 => Some(Unlooked::TooShort),
                    2 => Some(Unlooked::TooCommon),
                    _ => None,
                })?;
                Ok((name, why))
            })?),
            6 => Reply::Failed(r.text("why")?),
            number => return Err(unknown("reply", number)),
        };
        r.end()?;
        Ok(reply)
    }
}

fn unknown(field: &'static str, number: u8) -> DecodeError {
    DecodeError::Unknown {
        field,
        number: number.into(),
    }
}
