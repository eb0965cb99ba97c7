//! The server's side of the redactor: a connection for each call, on a local socket.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::matching::Unlooked;
use super::protocol::{HiddenRef, MAX_FRAME, MAX_HIDDEN, Of, Reply, Request};
use crate::vault::protocol::{Buffer, DecodeError};
use crate::vault::{Purpose, Sealed, Tier, WrappedKey};

/// How long a call may take: the longest text takes a part of a second.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long a redactor that was ended may take to be there again.
const PATIENCE: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(10);

/// Why the redactor did nothing.
#[derive(Debug, thiserror::Error)]
pub enum RedactorError {
    /// It cannot be reached, or ended meanwhile.
    #[error("the redactor does not answer: {0}")]
    Unavailable(String),
    /// It did not do it, in its words.
    #[error("the redactor: {0}")]
    Failed(String),
    /// The text is longer than any that is looked through.
    #[error("the request has more than {} MiB, which is the most that OptiDev looks through", MAX_FRAME >> 20)]
    TextTooLarge,
    /// The text must not leave, and why.
    #[error("{0}")]
    Unsendable(String),
    /// The workspace has more hidden values than are looked for.
    #[error("{0}")]
    TooManyValues(String),
    /// The other end is of another version.
    #[error(
        "the redactor and the server do not understand each other ({0}); restart both with the same version"
    )]
    Protocol(DecodeError),
}

/// What came of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds no hidden value.
    Clean,
    /// It held some.
    Redacted {
        /// The text without them.
        body: Bytes,
        /// Which and how often.
        found: Vec<(String, u32)>,
    },
    /// The workspace's values are not known in this state: [`RedactorClient::load`] comes first.
    NotLoaded,
}

/// A hidden value of a workspace, as it is stored.
#[derive(Debug)]
pub struct HiddenItem {
    /// The variable that stands in its place.
    pub name: String,
    /// The secret's id.
    pub secret: [u8; 16],
    /// Its version.
    pub version: u32,
    /// What it is for.
    pub purpose: Purpose,
    /// Its tier, which is not Visible.
    pub tier: Tier,
    /// The vault's ciphertext.
    pub sealed: Sealed,
}

/// All hidden values that are looked for together.
#[derive(Debug)]
pub struct Load {
    /// Whose.
    pub of: Of,
    /// Which state of its secrets this is.
    pub state: [u8; 32],
    /// The wrapped workspace key.
    pub key: WrappedKey,
    /// How many of the values count now, from the first on. The others were replaced, and some of them may be left out.
    pub current: usize,
    /// The values, at most [`MAX_HIDDEN`].
    pub hidden: Vec<HiddenItem>,
}

/// A handle on the redactor.
#[derive(Debug, Clone)]
pub struct RedactorClient {
    socket: PathBuf,
}

impl RedactorClient {
    /// A client of the redactor that listens on `socket`.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// What the process lacks of its hardening.
    ///
    /// # Errors
    /// [`RedactorError`]
    pub async fn missing(&self) -> Result<Vec<String>, RedactorError> {
        let body = self.exchange(&Request::Status).await?;
        match decode(&body)? {
            Reply::Missing(missing) => Ok(missing.into_iter().map(str::to_owned).collect()),
            other => Err(unexpected(&other)),
        }
    }

    /// Finds hidden values in a text. `state` says which they are.
    ///
    /// # Errors
    /// [`RedactorError`]
    pub async fn redact(
        &self,
        of: &Of,
        state: &[u8; 32],
        body: &[u8],
    ) -> Result<Outcome, RedactorError> {
        let request = Request::Redact {
            of: *of,
            state,
            body,
        };
        let reply = self.exchange(&request).await?;
        match decode(&reply)? {
            Reply::Clean => Ok(Outcome::Clean),
            Reply::NotLoaded => Ok(Outcome::NotLoaded),
            Reply::Redacted { found, body } => Ok(Outcome::Redacted {
                body: Bytes::copy_from_slice(body),
                found: found
                    .into_iter()
                    .map(|(name, count)| (name.to_owned(), count))
                    .collect(),
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Has the redactor learn a workspace's hidden values; answers those that it does not look for, and why.
    ///
    /// # Errors
    /// [`RedactorError`]; nothing is learnt then.
    pub async fn load(&self, load: &Load) -> Result<Vec<(String, Unlooked)>, RedactorError> {
        if load.hidden.len() > MAX_HIDDEN {
            return Err(RedactorError::TooManyValues(format!(
                "the workspace has {} hidden values, and the most that are looked for is {MAX_HIDDEN}; delete secrets that \
                 are not needed",
                load.hidden.len()
            )));
        }
        let hidden = load.hidden.iter().map(|one| HiddenRef {
            name: &one.name,
            secret: &one.secret,
            version: one.version,
            purpose: one.purpose,
            tier: one.tier,
            sealed: &one.sealed.0,
        });
        let request = Request::Load {
            of: load.of,
            state: &load.state,
            key: &load.key.0,
            current: u32::try_from(load.current).unwrap_or(u32::MAX),
            hidden: hidden.collect(),
        };
        let reply = self.exchange(&request).await.map_err(|error| match error {
            RedactorError::TextTooLarge => RedactorError::TooManyValues(format!(
                "the workspace's hidden values have more than {} MiB together; delete secrets that are not needed",
                MAX_FRAME >> 20
            )),
            error => error,
        })?;
        match decode(&reply)? {
            Reply::Loaded(unlooked) => Ok(unlooked
                .into_iter()
                .map(|(name, why)| (name.to_owned(), why))
                .collect()),
            other => Err(unexpected(&other)),
        }
    }

    async fn exchange(&self, request: &Request<'_>) -> Result<Buffer, RedactorError> {
        let frame = request.encode().map_err(|_| RedactorError::TextTooLarge)?;
        let told = timeout(DEADLINE, self.tell(&frame)).await;
        told.unwrap_or_else(|_| Err(unavailable("it did not answer in time")))
    }

    /// Once: what a redactor ended over is not sent to the next one.
    async fn tell(&self, frame: &Buffer) -> Result<Buffer, RedactorError> {
        let mut stream = self.connect().await?;
        once(&mut stream, frame).await.map_err(unavailable)
    }

    async fn connect(&self) -> Result<UnixStream, RedactorError> {
        let begun = Instant::now();
        loop {
            match UnixStream::connect(&self.socket).await {
                Ok(stream) => return Ok(stream),
                Err(error) if begun.elapsed() > PATIENCE => return Err(unavailable(error)),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

async fn once(stream: &mut UnixStream, frame: &Buffer) -> std::io::Result<Buffer> {
    stream.write_all(frame.as_slice()).await?;
    let length = stream.read_u32().await? as usize;
    if length > MAX_FRAME {
        return Err(std::io::Error::other("its answer is too long"));
    }
    let mut body = Buffer::with_capacity(length);
    stream.read_exact(body.grow(length)).await?;
    Ok(body)
}

fn decode(body: &Buffer) -> Result<Reply<'_>, RedactorError> {
    match Reply::decode(body.as_slice()).map_err(RedactorError::Protocol)? {
        Reply::Failed(why) => Err(RedactorError::Failed(why.to_owned())),
        Reply::Unsendable(why) => Err(RedactorError::Unsendable(why.to_owned())),
        Reply::TooMany(why) => Err(RedactorError::TooManyValues(why.to_owned())),
        reply => Ok(reply),
    }
}

fn unavailable(why: impl ToString) -> RedactorError {
    RedactorError::Unavailable(why.to_string())
}

fn unexpected(_: &Reply<'_>) -> RedactorError {
    RedactorError::Failed("it answered something else than was asked".to_owned())
}
