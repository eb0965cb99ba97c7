//! Requests. They borrow from the frame, so that a value is not copied before it is encrypted.

use crate::vault::types::{
    Audience, Binding, DeliverItem, MacPurpose, Purpose, Submission, SystemPurpose, Tier,
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

/// A hidden value for the redactor, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternRef<'a> {
    /// What the ciphertext is bound to.
    pub binding: BindingRef<'a>,
    /// The ciphertext.
    pub sealed: &'a [u8],
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
    /// Encrypts an environment to its recipient; the reply is the encapsulated key and the ciphertext.
    Deliver {
        /// Who that is.
        audience: Audience,
        /// The wrapped workspace key.
        key: &'a [u8],
        /// The recipient's public key (X25519).
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
    /// Makes this connection the redactor's, which may ask for [`Request::Patterns`] and nothing else; the reply is empty.
    Redactor {
        /// What the vault and the redactor were both given at their start, and nobody else.
        token: &'a [u8; 32],
    },
    /// Decrypts hidden values for the redactor; the reply is a list of them in the order asked for. Refused to everybody else.
    Patterns {
        /// The wrapped workspace key.
        key: &'a [u8],
        /// The values.
        items: Vec<PatternRef<'a>>,
    },
}

impl Request<'_> {
    /// The operation's number on the wire.
    pub(super) const fn code(&self) -> u8 {
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
            Self::Redactor { .. } => 19,
            Self::Patterns { .. } => 20,
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
            Self::Redactor { .. } => "redactor",
            Self::Patterns { .. } => "patterns",
        }
    }

    /// About how many bytes the fields take, so that the frame is allocated once.
    pub(super) fn room(&self) -> usize {
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
                Self::Patterns { key, items } => {
                    let items = items
                        .iter()
                        .map(|item| 64 + item.binding.name.len() + item.sealed.len());
                    key.len() + items.sum::<usize>()
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
