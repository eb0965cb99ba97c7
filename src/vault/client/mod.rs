//! The server's side of the vault.
//!
//! A [`VaultClient`] is cheap to clone and shares one connection. Calls run side by side on it. When
//! the vault process was restarted, the client reconnects by itself: calls that were under way are
//! tried again, which is safe because the vault keeps no state between operations. Each call ends
//! within the deadline. The client holds no key; what it carries is wiped after use.

mod connection;
mod stored;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use self::connection::{Connection, Lost};
use super::{
    protocol::{
        BindingRef, DecodeError, DeliverRef, MAX_FRAME, Reader, Request, decode_anchors,
        decode_reply, decode_status, encode_request,
    },
    types::{
        Anchor, Audience, Binding, DeliverItem, Delivery, ExtraItem, MAX_DELIVERY, MAX_VALUE,
        MacPurpose, Sealed, Status, SystemPurpose, VaultError, WrappedKey,
    },
};
use crate::kernel::secret::{SecretBytes, SecretString};
use crate::metrics;

/// How long a call may take, from the first connection attempt to the last byte.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long calls wait for a vault process that went away before they fail at once instead.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a call whose connection ended is tried again. A killed process may end its connections
/// before it stops to listen, so that the first new connection can end as well; a third end is none of
/// those, and a request that ends the process must not end it for ever.
const RETRIES: u32 = 2;

/// The pause before that, in which a killed process is gone.
const AFTER_LOSS: Duration = Duration::from_millis(10);

/// First and longest pause between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// A handle on the vault process.
#[derive(Clone)]
pub struct VaultClient(Arc<Shared>);

struct Shared {
    socket: PathBuf,
    deadline: Duration,
    next_id: AtomicU64,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    connection: Option<Arc<Connection>>,
    down_since: Option<Instant>,
}

impl VaultClient {
    /// A client of the vault process that listens on `socket`. It connects at the first call.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self::with_deadline(socket, DEADLINE)
    }

    /// As [`VaultClient::new`], with a deadline for each call in place of five seconds.
    #[must_use]
    pub fn with_deadline(socket: PathBuf, deadline: Duration) -> Self {
        Self(Arc::new(Shared {
            socket,
            deadline,
            next_id: AtomicU64::new(1),
            link: Mutex::default(),
        }))
    }

    /// Which installation and root keys are live, and how the process is locked in.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`], [`VaultError::Timeout`]: not ready.
    pub async fn status(&self) -> Result<Status, VaultError> {
        self.call(&Request::Status, decode_status).await
    }

    /// A new random key for `workspace`, wrapped under the current root key. The vault keeps no copy:
    /// when every stored copy of the result is deleted, what it sealed is shredded.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] and the like.
    pub async fn new_workspace_key(&self, workspace: [u8; 16]) -> Result<WrappedKey, VaultError> {
        let request = Request::NewWorkspaceKey {
            workspace: &workspace,
        };
        self.call(&request, bytes).await.map(WrappedKey)
    }

    /// The same workspace key, wrapped under the current root key, for rotation of the master.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] when it is no key of this workspace.
    pub async fn rewrap(
        &self,
        workspace: [u8; 16],
        key: &WrappedKey,
    ) -> Result<WrappedKey, VaultError> {
        let request = Request::RewrapKey {
            workspace: &workspace,
            key: &key.0,
        };
        self.call(&request, bytes).await.map(WrappedKey)
    }

    /// Encrypts `value` (at most [`MAX_VALUE`] bytes) for the workspace and binds it. Sealing the same
    /// thing twice gives two different envelopes; both open.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] when the key is another workspace's, [`VaultError::TooLarge`],
    /// [`VaultError::Refused`] for a name that cannot be.
    pub async fn seal(
        &self,
        key: &WrappedKey,
        binding: &Binding,
        value: SecretBytes,
    ) -> Result<Sealed, VaultError> {
        check_size("a secret's value", value.expose().len(), MAX_VALUE)?;
        let request = Request::Seal {
            key: &key.0,
            binding: BindingRef::from(binding),
            value: value.expose(),
        };
        self.call(&request, bytes).await.map(Sealed)
    }

    /// Decrypts a Visible or Masked value, for a person. Recorded by the vault.
    ///
    /// # Errors
    /// [`VaultError::Refused`] for a Sensitive one; [`VaultError::DoesNotDecrypt`] when anything in
    /// `binding` is not as it was at sealing, the tier included; [`VaultError::Throttled`].
    pub async fn reveal(
        &self,
        key: &WrappedKey,
        binding: &Binding,
        sealed: &Sealed,
    ) -> Result<SecretBytes, VaultError> {
        let request = Request::Reveal {
            key: &key.0,
            binding: BindingRef::from(binding),
            sealed: &sealed.0,
        };
        self.call(&request, bytes).await.map(SecretBytes::from)
    }

    /// Encrypts an environment to an agent's X25519 key, for HPKE's `info` (which container, which start of
    /// its agent, and for which place in it). The
    /// plaintext, a JSON object of name to value, exists in the vault and in the agent only. `extra`
    /// adds variables that are no secrets. Recorded by the vault.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`], [`VaultError::TooLarge`], and [`VaultError::Refused`] when a
    /// name occurs twice, is no variable name, or a value is not text. Nothing is delivered then.
    pub async fn deliver(
        &self,
        key: &WrappedKey,
        items: Vec<DeliverItem>,
        recipient: [u8; 32],
        info: &str,
        extra: Vec<ExtraItem>,
    ) -> Result<Delivery, VaultError> {
        self.deliver_to(Audience::Container, key, items, recipient, info, extra)
            .await
    }

    /// As [`VaultClient::deliver`], to a key of a person's own program. Each hidden value counts as a reveal.
    ///
    /// # Errors
    /// As there; [`VaultError::Refused`] for a Sensitive value, [`VaultError::Throttled`]. Nothing is delivered then.
    pub async fn hand_over(
        &self,
        key: &WrappedKey,
        items: Vec<DeliverItem>,
        recipient: [u8; 32],
        info: &str,
    ) -> Result<Delivery, VaultError> {
        self.deliver_to(Audience::Person, key, items, recipient, info, Vec::new())
            .await
    }

    async fn deliver_to(
        &self,
        audience: Audience,
        key: &WrappedKey,
        items: Vec<DeliverItem>,
        recipient: [u8; 32],
        info: &str,
        extra: Vec<ExtraItem>,
    ) -> Result<Delivery, VaultError> {
        check_size(
            "the list of secrets",
            items.len() + extra.len(),
            MAX_DELIVERY,
        )?;
        let request = Request::Deliver {
            audience,
            key: &key.0,
            recipient: &recipient,
            info,
            items: items.iter().map(DeliverRef::from).collect(),
            extra: extra
                .iter()
                .map(|(name, value)| (name.as_str(), value.expose().as_slice()))
                .collect(),
        };
        self.call(&request, |mut r| {
            let enc = *r.fixed("encapsulated key")?;
            let ciphertext = r.bytes("ciphertext")?.to_vec();
            r.end()?;
            Ok(Delivery { enc, ciphertext })
        })
        .await
    }

    /// HMAC-SHA-256 of `data` under the key of `purpose`. Compare results in constant time.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] and the like.
    pub async fn mac(&self, purpose: MacPurpose, data: &[u8]) -> Result<[u8; 32], VaultError> {
        self.call(&Request::Mac { purpose, data }, |mut r| {
            let mac = *r.fixed("MAC")?;
            r.end()?;
            Ok(mac)
        })
        .await
    }

    /// A new seed for `user`'s one-time passwords: to store, and in base32 to show once.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] and the like.
    pub async fn totp_seed(&self, user: [u8; 16]) -> Result<(Sealed, SecretString), VaultError> {
        self.call(&Request::TotpSeed { user: &user }, |mut r| {
            let sealed = Sealed(r.bytes("envelope")?.to_vec());
            let seed = SecretString::from(r.text("seed")?);
            r.end()?;
            Ok((sealed, seed))
        })
        .await
    }

    /// Checks a one-time password (RFC 6238: SHA-1, six digits, 30 s) at the step of `now_ms`, one
    /// before or one after, but none up to `last_step`. Returns the step to store as the new
    /// `last_step`, or none for a wrong code.
    ///
    /// # Errors
    /// [`VaultError::Throttled`] after too many tries for this user, [`VaultError::DoesNotDecrypt`]
    /// when the seed is another user's.
    pub async fn totp_verify(
        &self,
        user: [u8; 16],
        sealed: &Sealed,
        code: &str,
        now_ms: i64,
        last_step: Option<i64>,
    ) -> Result<Option<i64>, VaultError> {
        let request = Request::TotpVerify {
            user: &user,
            sealed: &sealed.0,
            code,
            now_ms,
            last_step,
        };
        self.call(&request, |mut r| {
            let accepted = r.flag("accepted")?;
            let step = r.i64("step")?;
            r.end()?;
            Ok(accepted.then_some(step))
        })
        .await
    }

    /// Encrypts a credential of the installation for one purpose and `name` (such as the provider's).
    ///
    /// # Errors
    /// [`VaultError::TooLarge`], [`VaultError::Unavailable`] and the like.
    pub async fn seal_system(
        &self,
        purpose: SystemPurpose,
        name: &str,
        value: SecretBytes,
    ) -> Result<Sealed, VaultError> {
        check_size("a credential", value.expose().len(), MAX_VALUE)?;
        let request = Request::SealSystem {
            purpose,
            name,
            value: value.expose(),
        };
        self.call(&request, bytes).await.map(Sealed)
    }

    /// Decrypts a credential of the installation for the purpose and name it was sealed for.
    /// Recorded by the vault.
    ///
    /// # Errors
    /// [`VaultError::DoesNotDecrypt`] for another purpose or name.
    pub async fn open(
        &self,
        purpose: SystemPurpose,
        name: &str,
        sealed: &Sealed,
    ) -> Result<SecretBytes, VaultError> {
        let request = Request::OpenSystem {
            purpose,
            name,
            sealed: &sealed.0,
        };
        self.call(&request, bytes).await.map(SecretBytes::from)
    }

    /// Has the vault remember the end of a chain of the audit log, and answers the highest number it knows of that
    /// chain: a lower one never takes a higher one's place.
    ///
    /// # Errors
    /// [`VaultError::Refused`] when `mac` is not the message's, or when another entry with this number is known.
    pub async fn anchor(&self, message: &[u8], mac: &[u8; 32]) -> Result<i64, VaultError> {
        self.call(&Request::Anchor { message, mac }, |mut r| {
            let seq = r.i64("number")?;
            r.end()?;
            Ok(seq)
        })
        .await
    }

    /// The highest entry of each chain of the audit log that the vault has checked.
    ///
    /// # Errors
    /// [`VaultError::Unavailable`] and the like.
    pub async fn anchors(&self) -> Result<Vec<Anchor>, VaultError> {
        self.call(&Request::Anchors, decode_anchors).await
    }

    async fn call<T>(
        &self,
        request: &Request<'_>,
        read: impl FnOnce(Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, VaultError> {
        let (limit, started) = (self.0.deadline, Instant::now());
        let result = match timeout(limit, self.exchange(request, read)).await {
            Ok(result) => result,
            Err(_) => Err(VaultError::Timeout {
                operation: request.name(),
                limit_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
            }),
        };
        let outcome = result.as_ref().err().map_or("ok", VaultError::word);
        metrics::vault(request.name(), outcome, started.elapsed());
        result
    }

    async fn exchange<T>(
        &self,
        request: &Request<'_>,
        read: impl FnOnce(Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, VaultError> {
        let mut retries = RETRIES;
        loop {
            let connection = self.connect().await?;
            let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
            let frame = encode_request(id, request).map_err(request_too_large)?;
            match connection.call(id, frame).await {
                Ok(body) => {
                    let (_, reply) = decode_reply(body.as_slice()).map_err(misunderstood)?;
                    return read(reply?).map_err(misunderstood);
                }
                Err(Lost::Dismissed(error)) => return Err(error),
                Err(Lost::Ended) if retries == 0 => {
                    return Err(self.unavailable("it ended the connection again and again"));
                }
                Err(Lost::Ended) => {
                    retries -= 1;
                    sleep(AFTER_LOSS).await;
                }
            }
        }
    }

    async fn connect(&self) -> Result<Arc<Connection>, VaultError> {
        let mut link = self.0.link.lock().await;
        if let Some(connection) = &link.connection
            && !connection.is_closed()
        {
            return Ok(Arc::clone(connection));
        }
        link.connection = None;
        let give_up = *link.down_since.get_or_insert_with(Instant::now) + PATIENCE;
        let mut pause = PAUSE.0;
        loop {
            match Connection::open(&self.0.socket).await {
                Ok(connection) => {
                    let connection = Arc::new(connection);
                    link.connection = Some(Arc::clone(&connection));
                    link.down_since = None;
                    return Ok(connection);
                }
                Err(error) if Instant::now() >= give_up => {
                    return Err(self.unavailable(&error.to_string()));
                }
                Err(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    fn unavailable(&self, reason: &str) -> VaultError {
        VaultError::Unavailable {
            socket: self.0.socket.display().to_string(),
            reason: reason.to_owned(),
        }
    }
}

fn bytes(mut r: Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    let value = r.bytes("result")?.to_vec();
    r.end()?;
    Ok(value)
}

fn check_size(what: &str, bytes: usize, limit: usize) -> Result<(), VaultError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(VaultError::TooLarge {
        what: what.to_owned(),
        bytes: bytes as u64,
        limit: limit as u64,
    })
}

fn request_too_large(error: DecodeError) -> VaultError {
    match error {
        DecodeError::TooLong { bytes } => VaultError::TooLarge {
            what: "the request".to_owned(),
            bytes: bytes as u64,
            limit: MAX_FRAME as u64,
        },
        other => misunderstood(other),
    }
}

fn misunderstood(error: DecodeError) -> VaultError {
    VaultError::Protocol {
        detail: error.to_string(),
    }
}
