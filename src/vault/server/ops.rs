//! What the vault does for a request, and what it refuses.
//!
//! There is no general decrypt. Plaintext leaves in four ways only: `reveal`, never for Sensitive;
//! `deliver`, encrypted to an agent or, never for Sensitive, to a person; `open`, for a credential of the installation by its purpose;
//! `patterns`, to the redactor, which the server is not. All
//! four make an entry for the record, whatever comes of them; only a Visible value that was shown as it
//! should be makes none, because every look at the list shows it.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::{
    anchors::Anchors,
    envelope::{self, Kind},
    keys::{Keys, WorkspaceKey},
    peer::Peer,
    record::{Entry, entry},
    submission,
    throttle::{Rate, Throttle},
    totp,
};
use crate::vault::{
    protocol::{BindingRef, PatternRef, Request},
    types::{
        Anchor, Hardening, MAX_NAME, MAX_PATTERNS, MAX_VALUE, MAX_VARIABLE, Purpose, Status,
        SubmissionKey, Tier, VaultError,
    },
};

/// Tries of one-time passwords for each user.
const TOTP_TRIES: Rate = Rate {
    per_minute: 10,
    burst: 10,
};

/// The state behind all connections.
pub struct Vault {
    pub(super) keys: Keys,
    anchors: Anchors,
    hardening: Hardening,
    started: Instant,
    reveals: Mutex<Throttle<[u8; 16]>>,
    totp_tries: Mutex<Throttle<[u8; 16]>>,
}

/// The result of an operation.
pub enum Answer {
    /// The process's state.
    Status(Box<Status>),
    /// A ciphertext, or a value on its way out.
    Bytes(Zeroizing<Vec<u8>>),
    /// Values on their way to the redactor.
    Values(Vec<Zeroizing<Vec<u8>>>),
    /// Nothing more to say.
    Done,
    /// A keyed hash.
    Mac([u8; 32]),
    /// A delivery: encapsulated key and ciphertext.
    Delivery([u8; 32], Vec<u8>),
    /// A new seed: its envelope and its base32.
    Seed(Vec<u8>, Zeroizing<String>),
    /// The highest number known of a chain.
    Seq(i64),
    /// What is known of all chains.
    Anchors(Vec<Anchor>),
    /// The accepted step.
    Step(Option<i64>),
    /// To which clients encrypt.
    SubmissionKey(SubmissionKey),
}

pub(super) type Done = Result<Answer, VaultError>;

impl Vault {
    /// A vault over `keys`.
    #[must_use]
    pub fn new(keys: Keys, anchors: Anchors, hardening: Hardening, reveals: Rate) -> Self {
        Self {
            keys,
            anchors,
            hardening,
            started: Instant::now(),
            reveals: Mutex::new(Throttle::new(reveals)),
            totp_tries: Mutex::new(Throttle::new(TOTP_TRIES)),
        }
    }

    /// The process's state.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            install: self.keys.install(),
            pid: std::process::id(),
            root_keys: self.keys.live(),
            hardening: self.hardening.clone(),
        }
    }

    /// Does what `request` asks, for whoever `peer` is. The entry, if there is one, must be recorded before the answer goes
    /// out, and the answer must not go out when that fails.
    pub fn answer(
        &self,
        request: &Request<'_>,
        time_ms: i64,
        peer: &mut Peer,
    ) -> (Done, Option<Entry>) {
        let done = match peer.may(request) {
            Ok(()) => self.answer_admitted(request, peer),
            Err(error) => Err(error),
        };
        let entry = entry(request, &done, time_ms, peer.pid());
        (done, entry)
    }

    fn answer_admitted(&self, request: &Request<'_>, peer: &mut Peer) -> Done {
        match request {
            Request::Status => Ok(Answer::Status(Box::new(self.status()))),
            Request::NewWorkspaceKey { workspace } => {
                self.keys.new_workspace_key(workspace).map(cipher)
            }
            Request::RewrapKey { workspace, key } => self.rewrap(workspace, key),
            Request::Seal {
                key,
                binding,
                value,
            } => self.seal(key, binding, value),
            Request::Reveal {
                key,
                binding,
                sealed,
            } => self.reveal(key, binding, sealed),
            Request::Deliver {
                audience,
                key,
                recipient,
                info,
                items,
                extra,
            } => self.deliver(*audience, key, (recipient, info), items, extra),
            Request::Mac { purpose, data } => self.keys.mac(*purpose, data).map(Answer::Mac),
            Request::TotpSeed { user } => self.totp_seed(user),
            Request::TotpVerify {
                user,
                sealed,
                code,
                now_ms,
                last_step,
            } => self.totp_verify(user, sealed, code, *now_ms, *last_step),
            Request::SealSystem {
                purpose,
                name,
                value,
            } => check_name(name)
                .and_then(|()| check_value(value))
                .and_then(|()| {
                    self.keys.seal_system(
                        Kind::System,
                        &[&[purpose.number()], name.as_bytes()],
                        value,
                    )
                })
                .map(cipher),
            Request::OpenSystem {
                purpose,
                name,
                sealed,
            } => self
                .keys
                .open_system(
                    Kind::System,
                    &[&[purpose.number()], name.as_bytes()],
                    sealed,
                )
                .map(Answer::Bytes),
            Request::Anchor { message, mac } => {
                self.anchors.keep(&self.keys, message, mac).map(Answer::Seq)
            }
            Request::Anchors => Ok(Answer::Anchors(self.anchors.all())),
            Request::SubmissionKey => submission::public_key(&self.keys)
                .map(|(root, public)| Answer::SubmissionKey(SubmissionKey { root, public })),
            Request::SealSubmitted {
                key,
                binding,
                submission,
            } => submission::open(&self.keys, binding, submission).and_then(|value| {
                check_submitted(binding, &value)?;
                self.seal(key, binding, &value)
            }),
            Request::Reseal {
                from_key,
                from,
                sealed,
                to_key,
                to,
            } => self.reseal(from_key, from, sealed, to_key, to),
            Request::RewrapSystem {
                purpose,
                name,
                sealed,
            } => self.rewrap_system(
                Kind::System,
                &[&[purpose.number()], name.as_bytes()],
                sealed,
            ),
            Request::RewrapTotp { user, sealed } => {
                self.rewrap_system(Kind::Totp, &[user.as_slice()], sealed)
            }
            Request::Redactor { token } => peer.become_redactor(token).map(|()| Answer::Done),
            Request::Patterns { key, items } => self.patterns(key, items),
        }
    }

    fn rewrap(&self, workspace: &[u8; 16], key: &[u8]) -> Done {
        let key = self.keys.unwrap(workspace, key)?;
        self.keys.wrap(workspace, &key).map(cipher)
    }

    fn rewrap_system(&self, kind: Kind, bound: &[&[u8]], sealed: &[u8]) -> Done {
        let content = self.keys.open_system(kind, bound, sealed)?;
        self.keys.seal_system(kind, bound, &content).map(cipher)
    }

    /// No value leaves, and none becomes easier to see: the new tier is as strict or stricter.
    fn reseal(
        &self,
        from_key: &[u8],
        from: &BindingRef<'_>,
        sealed: &[u8],
        to_key: &[u8],
        to: &BindingRef<'_>,
    ) -> Done {
        if (from.workspace, from.secret, from.name, from.purpose)
            != (to.workspace, to.secret, to.name, to.purpose)
        {
            return Err(refused(
                "a stored value stays with its workspace, secret, name and purpose; set the value anew elsewhere",
            ));
        }
        if to.tier.number() < from.tier.number() {
            return Err(refused(
                "a stored value moves to a stricter tier only; set a new value for a weaker one",
            ));
        }
        let key = self.keys.unwrap(from.workspace, from_key)?;
        let value = self.open_secret(&key, from, sealed)?;
        self.seal(to_key, to, &value)
    }

    fn seal(&self, key: &[u8], binding: &BindingRef<'_>, value: &[u8]) -> Done {
        check_name(binding.name)?;
        check_value(value)?;
        let key = self.keys.unwrap(binding.workspace, key)?;
        let install = self.keys.install();
        with_fields(&install, binding, |fields| {
            envelope::seal(&key, Kind::Secret, 0, fields, value)
        })
        .map(cipher)
    }

    fn reveal(&self, key: &[u8], binding: &BindingRef<'_>, sealed: &[u8]) -> Done {
        // Claiming a weaker tier does not help: the tier is in what the ciphertext is bound to.
        if binding.tier == Tier::Sensitive {
            return Err(refused(
                "a Sensitive secret is write-only and is never shown; set a new value if it is lost",
            ));
        }
        // What is shown in every list has no budget to use up: whoever reloads a page would block the others' reveals.
        // A hidden value that is named Visible does not decrypt.
        if binding.tier != Tier::Visible {
            take(&self.reveals, *binding.workspace, 1, self.started.elapsed())?;
        }
        let key = self.keys.unwrap(binding.workspace, key)?;
        self.open_secret(&key, binding, sealed).map(Answer::Bytes)
    }

    /// Counts `hidden` values that a person is to get at once as so many reveals.
    pub(super) fn count_reveals(
        &self,
        workspace: &[u8; 16],
        hidden: u32,
    ) -> Result<(), VaultError> {
        take(&self.reveals, *workspace, hidden, self.started.elapsed())
    }

    pub(super) fn open_secret(
        &self,
        key: &WorkspaceKey,
        binding: &BindingRef<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let install = self.keys.install();
        with_fields(&install, binding, |fields| {
            envelope::open(key, Kind::Secret, fields, sealed)
        })
    }

    /// Whoever asks is the redactor. What everybody may see is nothing that it should look for.
    fn patterns(&self, key: &[u8], items: &[PatternRef<'_>]) -> Done {
        if items.len() > MAX_PATTERNS {
            return Err(too_large("a list of patterns", items.len(), MAX_PATTERNS));
        }
        let Some(first) = items.first() else {
            return Ok(Answer::Values(Vec::new()));
        };
        let workspace = first.binding.workspace;
        let key = self.keys.unwrap(workspace, key)?;
        let open = |item: &PatternRef<'_>| {
            if item.binding.workspace != workspace {
                return Err(refused(
                    "patterns are of one workspace; ask for each one's by itself",
                ));
            }
            if item.binding.tier == Tier::Visible {
                return Err(refused(&format!(
                    "{} is Visible, and no text is kept from holding it; leave it out",
                    item.binding.name
                )));
            }
            self.open_secret(&key, &item.binding, item.sealed)
        };
        let values: Result<Vec<_>, VaultError> = items.iter().map(open).collect();
        values.map(Answer::Values)
    }

    fn totp_seed(&self, user: &[u8; 16]) -> Done {
        let mut seed = Zeroizing::new([0; totp::SEED]);
        envelope::random(seed.as_mut_slice())?;
        let sealed = self
            .keys
            .seal_system(Kind::Totp, &[user], seed.as_slice())?;
        Ok(Answer::Seed(sealed, totp::base32(&seed)))
    }

    fn totp_verify(
        &self,
        user: &[u8; 16],
        sealed: &[u8],
        code: &str,
        now_ms: i64,
        last_step: Option<i64>,
    ) -> Done {
        take(&self.totp_tries, *user, 1, self.started.elapsed())?;
        let seed = self.keys.open_system(Kind::Totp, &[user], sealed)?;
        totp::verify(&seed, code, now_ms, last_step).map(Answer::Step)
    }
}

/// The fields that a secret is bound to, in their fixed order.
fn with_fields<T>(
    install: &[u8; 16],
    binding: &BindingRef<'_>,
    then: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    then(&[
        install,
        binding.workspace,
        binding.secret,
        &binding.version.to_be_bytes(),
        binding.name.as_bytes(),
        &[binding.purpose.number()],
        &[binding.tier.number()],
    ])
}

fn cipher(bytes: Vec<u8>) -> Answer {
    Answer::Bytes(Zeroizing::new(bytes))
}

fn take(
    throttle: &Mutex<Throttle<[u8; 16]>>,
    key: [u8; 16],
    count: u32,
    now: Duration,
) -> Result<(), VaultError> {
    let mut throttle = throttle.lock().unwrap_or_else(PoisonError::into_inner);
    if count > throttle.most() {
        return Err(refused(&format!(
            "these are {count} hidden values, and at most {} are shown at once; ask for fewer",
            throttle.most()
        )));
    }
    throttle
        .take(key, count, now)
        .map_err(|retry_after_ms| VaultError::Throttled { retry_after_ms })
}

pub(super) fn check_name(name: &str) -> Result<(), VaultError> {
    if name.len() > MAX_NAME {
        return Err(too_large("a secret's name", name.len(), MAX_NAME));
    }
    if name.is_empty() {
        return Err(refused("a secret needs a name"));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<(), VaultError> {
    if value.len() > MAX_VALUE {
        return Err(too_large("a secret's value", value.len(), MAX_VALUE));
    }
    Ok(())
}

/// What the server checks where it sees the value, it cannot check here.
fn check_submitted(binding: &BindingRef<'_>, value: &[u8]) -> Result<(), VaultError> {
    if binding.purpose != Purpose::Environment {
        return Ok(());
    }
    if value.is_empty() {
        return Err(refused("the value is empty; to remove a secret, delete it"));
    }
    if value.len() > MAX_VARIABLE {
        return Err(too_large("the value", value.len(), MAX_VARIABLE));
    }
    if std::str::from_utf8(value).is_err() || value.contains(&0) {
        return Err(refused(
            "the value is no text, or holds a NUL character, which no environment variable can; encode it, such as in base64",
        ));
    }
    Ok(())
}

pub(super) fn refused(reason: &str) -> VaultError {
    VaultError::Refused {
        reason: reason.to_owned(),
    }
}

pub(super) fn too_large(what: &str, bytes: usize, limit: usize) -> VaultError {
    VaultError::TooLarge {
        what: what.to_owned(),
        bytes: bytes as u64,
        limit: limit as u64,
    }
}
