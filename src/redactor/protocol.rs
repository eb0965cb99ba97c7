//! What server and redactor say to each other: one request and one reply on a connection, in the vault's frames.

use crate::vault::protocol::{Buffer, DecodeError, Reader, Writer};
use crate::vault::{Purpose, Tier};

use super::matching::Unlooked;

/// The longest frame: the longest text that the gateway passes on, and what is said about it.
pub const MAX_FRAME: usize = 34 << 20;

/// The most hidden values of a workspace that are looked for.
pub const MAX_HIDDEN: usize = 16_384;

/// A hidden value, borrowed from a frame.
#[derive(Clone, Copy)]
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

/// Whose hidden values they are: those of a workspace and its projects, and what one member has of their own there. Nobody's own
/// values are looked for in what somebody else sends: that would tell of them, and let them tamper with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Of {
    /// The workspace's id.
    pub workspace: [u8; 16],
    /// The member's id; zeros where the member has none of their own.
    pub user: [u8; 16],
}

/// What is asked.
pub enum Request<'a> {
    /// What the process lacks of its hardening; [`Reply::Missing`].
    Status,
    /// Find hidden values in a text. [`Reply::Clean`], [`Reply::Redacted`], or [`Reply::NotLoaded`].
    Redact {
        /// Whose.
        of: Of,
        /// Which state of its secrets has to be known.
        state: &'a [u8; 32],
        /// The text.
        body: &'a [u8],
    },
    /// Learn a workspace's hidden values. [`Reply::Loaded`].
    Load {
        /// Whose.
        of: Of,
        /// Which state this is.
        state: &'a [u8; 32],
        /// The wrapped workspace key.
        key: &'a [u8],
        /// How many of the values count now, from the first on.
        current: u32,
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
    /// There are more values than are looked for, in words.
    TooMany(&'a str),
    /// The text cannot be sent as it is, in words.
    Unsendable(&'a str),
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
            Self::Redact { of, state, body } => {
                let mut w = writer(2, body.len() + 64);
                w.fixed(&of.workspace);
                w.fixed(&of.user);
                w.fixed(*state);
                w.bytes(body);
                w
            }
            Self::Load {
                of,
                state,
                key,
                current,
                hidden,
            } => {
                let room = hidden
                    .iter()
                    .map(|one| 64 + one.name.len() + one.sealed.len());
                let mut w = writer(3, room.sum::<usize>() + 128);
                w.fixed(&of.workspace);
                w.fixed(&of.user);
                w.fixed(*state);
                w.bytes(key);
                w.u32(*current);
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
                of: get_of(&mut r)?,
                state: r.fixed("state")?,
                body: r.bytes("text")?,
            },
            3 => Request::Load {
                of: get_of(&mut r)?,
                state: r.fixed("state")?,
                key: r.bytes("workspace key")?,
                current: r.u32("current values")?,
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
            Self::Failed(why) | Self::TooMany(why) | Self::Unsendable(why) => {
                let code = match self {
                    Self::Failed(_) => 6,
                    Self::TooMany(_) => 7,
                    _ => 8,
                };
                let mut w = writer(code, why.len());
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
            7 => Reply::TooMany(r.text("why")?),
            8 => Reply::Unsendable(r.text("why")?),
            number => return Err(unknown("reply", number)),
        };
        r.end()?;
        Ok(reply)
    }
}

fn get_of(r: &mut Reader<'_>) -> Result<Of, DecodeError> {
    Ok(Of {
        workspace: *r.fixed("workspace")?,
        user: *r.fixed("user")?,
    })
}

fn unknown(field: &'static str, number: u8) -> DecodeError {
    DecodeError::Unknown {
        field,
        number: number.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden() -> HiddenRef<'static> {
        HiddenRef {
            name: "NAME",
            secret: &[2; 16],
            version: 7,
            purpose: Purpose::Environment,
            tier: Tier::Sensitive,
            sealed: b"sealed",
        }
    }

    const OF: Of = Of {
        workspace: [1; 16],
        user: [4; 16],
    };

    fn body(frame: &Buffer) -> &[u8] {
        &frame.as_slice()[4..]
    }

    #[test]
    fn what_is_written_is_read_and_cut_or_longer_it_is_nothing() {
        let requests = [
            Request::Status,
            Request::Redact {
                of: OF,
                state: &[3; 32],
                body: b"text",
            },
            Request::Load {
                of: OF,
                state: &[3; 32],
                key: b"key",
                current: 1,
                hidden: vec![hidden(); 2],
            },
        ];
        for request in requests {
            let frame = request.encode().unwrap();
            let again = Request::decode(body(&frame)).unwrap().encode().unwrap();
            assert_eq!(frame.as_slice(), again.as_slice());
            for end in 0..body(&frame).len() {
                assert!(Request::decode(&body(&frame)[..end]).is_err());
            }
            assert!(Request::decode(&[body(&frame), b"x"].concat()).is_err());
        }
        let replies = [
            Reply::Missing(vec!["landlock"]),
            Reply::Clean,
            Reply::Redacted {
                found: vec![("A", 1), ("B", 2)],
                body: b"text",
            },
            Reply::NotLoaded,
            Reply::Loaded(vec![("A", Unlooked::TooShort), ("B", Unlooked::TooCommon)]),
            Reply::Failed("why"),
            Reply::TooMany("why"),
            Reply::Unsendable("why"),
        ];
        for reply in replies {
            let frame = reply.encode().unwrap();
            let again = Reply::decode(body(&frame)).unwrap().encode().unwrap();
            assert_eq!(frame.as_slice(), again.as_slice());
            for end in 0..body(&frame).len() {
                assert!(Reply::decode(&body(&frame)[..end]).is_err());
            }
            assert!(Reply::decode(&[body(&frame), b"x"].concat()).is_err());
        }
    }
}
