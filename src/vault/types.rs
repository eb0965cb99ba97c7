//! The words of the vault: what a ciphertext is bound to, what a key is for, what can go wrong.
//!
//! Every enum here has fixed numbers because they enter the additional data of ciphertexts that live
//! for years: a number is never given to another meaning.

use crate::kernel::secret::SecretBytes;

/// How much of a secret a person may see again. Bound in the ciphertext, so that editing the column
/// in the database makes the value undecryptable and not visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tier {
    /// Shown to whoever may list secrets.
    Visible = 1,
    /// Hidden; revealed after re-authentication.
    Masked = 2,
    /// Write-only: it is delivered to containers, and no operation returns it.
    Sensitive = 3,
}

/// What a workspace's secret is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Delivered to containers as environment or file.
    Environment = 1,
    /// A credential that an integration made for the workspace.
    Integration = 2,
}

/// What a message authentication code protects. Each has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MacPurpose {
    /// The keyed hash under which session tokens are stored.
    SessionToken = 1,
    /// The keyed hash under which API tokens are stored.
    ApiToken = 2,
    /// One-time tickets, such as that of a preview.
    Ticket = 3,
    /// The hash chain of the audit log.
    Audit = 4,
    /// One-time codes and sign-in links.
    SetupCode = 5,
    /// Form tokens.
    Csrf = 6,
    /// Paging cursors.
    Cursor = 7,
    /// Signed URLs of the object store on disk.
    ArtifactUrl = 8,
    /// The keyed hash under which links of invitations are stored.
    Invitation = 9,
}

/// What a credential of the installation itself is for; it opens for no other purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SystemPurpose {
    /// The key that the gateway shows to an AI provider.
    UpstreamAiKey = 1,
    /// The mail server's password.
    Smtp = 2,
    /// The text message provider's token.
    Sms = 3,
    /// The payment provider's key.
    Billing = 4,
    /// A client secret or decryption key of an identity connection.
    IdentityProvider = 5,
    /// The private key of the installation's certificate authority.
    CertificateAuthority = 6,
    /// The private key that signs the installation's own tokens.
    TokenSigning = 7,
    /// Credentials of the object store.
    ObjectStore = 8,
    /// Management keys of an outside integration.
    Integration = 9,
}

macro_rules! numbered {
    ($type:ident: $($variant:ident = $label:literal),+ $(,)?) => {
        impl $type {
            /// Every value, in the order of its number.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number that stands for it on the wire and in additional data.
            #[must_use]
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The value with this number, if there is one.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.number() == number)
            }

            /// The name in the vault's record.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label),+
                }
            }
        }
    };
}

numbered!(Tier: Visible = "visible", Masked = "masked", Sensitive = "sensitive");
numbered!(Purpose: Environment = "environment", Integration = "integration");
numbered!(Audience: Container = "container", Person = "person");
numbered!(MacPurpose:
    SessionToken = "session_token",
    ApiToken = "api_token",
    Ticket = "ticket",
    Audit = "audit",
    SetupCode = "setup_code",
    Csrf = "csrf",
    Cursor = "cursor",
    ArtifactUrl = "artifact_url",
    Invitation = "invitation",
);
numbered!(SystemPurpose:
    UpstreamAiKey = "upstream_ai_key",
    Smtp = "smtp",
    Sms = "sms",
    Billing = "billing",
    IdentityProvider = "identity_provider",
    CertificateAuthority = "certificate_authority",
    TokenSigning = "token_signing",
    ObjectStore = "object_store",
    Integration = "integration",
);

/// What a secret's ciphertext is bound to, beside the installation. All of it must be the same at
/// opening as it was at sealing, or the value does not decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The workspace's id, as the 16 bytes of its UUID.
    pub workspace: [u8; 16],
    /// The secret's id, as the 16 bytes of its UUID.
    pub secret: [u8; 16],
    /// The version, from 1.
    pub version: u32,
    /// The name, at most [`MAX_NAME`] bytes.
    pub name: String,
    /// What it is for.
    pub purpose: Purpose,
    /// Who may see it again.
    pub tier: Tier,
}

/// How long the message of an audit entry is: chain (16 bytes), number (8, big endian), the MAC before it (32), and the
/// digest of what it says (32).
pub const AUDIT_MESSAGE: usize = 16 + 8 + 32 + 32;

/// The highest entry of a chain of the audit log whose MAC a vault process has checked: the chain had at least this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The organization's id.
    pub chain: [u8; 16],
    /// The entry's number.
    pub seq: i64,
    /// Its MAC.
    pub mac: [u8; 32],
}

/// The longest name in a [`Binding`], in bytes.
pub const MAX_NAME: usize = 1024;

/// The longest single value, in bytes.
pub const MAX_VALUE: usize = 1024 * 1024;

/// The longest value of an environment variable, in bytes.
pub const MAX_VARIABLE: usize = 64 * 1024;

/// The most secrets in one delivery.
pub const MAX_DELIVERY: usize = 4096;

/// The most hidden values that the redactor is given at once.
pub const MAX_PATTERNS: usize = 256;

/// HPKE's `info` of a value that a client encrypted to the vault.
pub const SUBMISSION_INFO: &[u8] = b"optidev secret submission 1";

/// HPKE's additional data of such a value: what the client meant it for. Each field has its length before it, as 64 bits in
/// big endian; purpose and tier are their numbers in one byte.
#[must_use]
pub fn submission_data(
    install: &[u8; 16],
    workspace: &[u8; 16],
    name: &str,
    purpose: Purpose,
    tier: Tier,
) -> Vec<u8> {
    let (purpose, tier) = ([purpose.number()], [tier.number()]);
    let fields: [&[u8]; 5] = [install, workspace, name.as_bytes(), &purpose, &tier];
    let mut data = Vec::with_capacity(128);
    for field in fields {
        data.extend((field.len() as u64).to_be_bytes());
        data.extend_from_slice(field);
    }
    data
}

/// The public key to which clients encrypt values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubmissionKey {
    /// The number of the root key that it comes from.
    pub root: u32,
    /// X25519.
    pub public: [u8; 32],
}

/// A value that a client encrypted to a [`SubmissionKey`]: HPKE in base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
/// AES-256-GCM, with [`SUBMISSION_INFO`] and [`submission_data`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The number of the root key whose public key it was encrypted to.
    pub root: u32,
    /// The encapsulated key.
    pub enc: [u8; 32],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// A workspace's key, encrypted under a root key. The server keeps these bytes in the database; to
/// delete every copy of them is to shred all that was sealed with the key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WrappedKey(pub Vec<u8>);

/// An encrypted value: a versioned envelope, see `vault::server::envelope`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(pub Vec<u8>);

impl std::fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WrappedKey({} bytes)", self.0.len())
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// One secret of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliverItem {
    /// The environment variable that the container sees.
    pub env: String,
    /// What the ciphertext is bound to.
    pub binding: Binding,
    /// The ciphertext.
    pub sealed: Sealed,
    /// Whether `${NAME}` in it stands for another variable of the delivery.
    pub expand: bool,
}

/// Who opens a delivery. It is bound in the delivery, so that one for the one does not open as one for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Audience {
    /// The agent of a container.
    Container = 1,
    /// A person's own program: it holds what may be revealed, and nothing that is Sensitive.
    Person = 2,
}

impl Audience {
    /// HPKE's additional data of a delivery.
    #[must_use]
    pub const fn data(self) -> &'static [u8] {
        match self {
            Self::Container => b"",
            Self::Person => b"person",
        }
    }
}

/// A plain variable that travels in the same sealed message, such as a container's own token.
pub type ExtraItem = (String, SecretBytes);

/// An environment encrypted to a key of its recipient (RFC 9180, base mode, DHKEM(X25519, HKDF-SHA256),
/// HKDF-SHA256, AES-256-GCM, with the additional data of its [`Audience`]). The plaintext is a JSON object of name to value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The encapsulated key.
    pub enc: [u8; 32],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

/// A live root key, without the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootKey {
    /// Its number; new workspace keys are wrapped under the highest.
    pub number: u32,
    /// Public check value. Keep it beside the database: when it is another one at start, this is
    /// another master secret and nothing will decrypt.
    pub fingerprint: [u8; 8],
}

/// Which memory holds the root keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum KeyMemory {
    /// `memfd_secret(2)`: not in the kernel's direct map, unreadable for every other process,
    /// root included.
    MemfdSecret = 1,
    /// Locked and excluded from core dumps; root can read it.
    Locked = 2,
    /// Neither was possible.
    Plain = 3,
}

/// One thing the vault process tried after it had locked itself in, and that must fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What was tried.
    pub name: String,
    /// The system's error number; 0 means that it was possible.
    pub errno: i32,
    /// Whether this is the refusal that was wanted.
    pub refused: bool,
}

/// What the vault process did to itself, as found by asking the kernel afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardening {
    /// Where the root keys are.
    pub key_memory: KeyMemory,
    /// True when the process is not dumpable, so that its own uid cannot read or trace it.
    pub not_dumpable: bool,
    /// True when core dumps have size 0.
    pub no_core: bool,
    /// True when no program that it could start would gain privileges.
    pub no_new_privileges: bool,
    /// True when every capability is dropped.
    pub no_capabilities: bool,
    /// The landlock ABI in force, 0 when the kernel has none.
    pub landlock_abi: u32,
    /// True when the system call filter is in force.
    pub seccomp: bool,
    /// What was tried, and how it failed.
    pub probes: Vec<Probe>,
}

impl Hardening {
    /// What is missing, in words for a person; empty when everything holds.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let keys = "memfd_secret pages for the root keys".to_owned();
        let keys = (self.key_memory != KeyMemory::MemfdSecret).then_some(keys);
        keys.into_iter().chain(self.missing_beside_keys()).collect()
    }

    /// As [`Hardening::missing`], of a process that has no root keys.
    #[must_use]
    pub fn missing_beside_keys(&self) -> Vec<String> {
        let facts = [
            (self.not_dumpable, "the not-dumpable flag"),
            (self.no_core, "the ban on core dumps"),
            (self.no_new_privileges, "no_new_privs"),
            (self.no_capabilities, "dropped capabilities"),
            (
                self.landlock_abi >= 4,
                "landlock with network rules (ABI 4)",
            ),
            (self.seccomp, "the system call filter"),
        ];
        let mut missing: Vec<String> = facts
            .into_iter()
            .filter(|(holds, _)| !holds)
            .map(|(_, name)| name.to_owned())
            .collect();
        let open = self.probes.iter().filter(|probe| !probe.refused);
        missing.extend(open.map(|probe| format!("a refusal of {}", probe.name)));
        missing
    }
}

/// The state of the vault process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The installation's random id, bound in every ciphertext.
    pub install: [u8; 16],
    /// Its process id, which changes when it was restarted.
    pub pid: u32,
    /// The live root keys, by number.
    pub root_keys: Vec<RootKey>,
    /// How it is locked in.
    pub hardening: Hardening,
}

/// Why an operation of the vault did not succeed. No variant holds a value or key material.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum VaultError {
    /// The process is not there, or went away again and again during one call.
    #[error(
        "the vault process does not answer on {socket} ({reason}); it is restarted by itself: try again in a moment"
    )]
    Unavailable {
        /// The socket's path.
        socket: String,
        /// What the system said.
        reason: String,
    },
    /// The deadline passed.
    #[error("the vault did not finish {operation} within {limit_ms} ms; try again")]
    Timeout {
        /// The operation's name.
        operation: &'static str,
        /// The deadline.
        limit_ms: u64,
    },
    /// The vault will not do this, whoever asks.
    #[error("the vault refuses this: {reason}")]
    Refused {
        /// The rule, and what to do instead.
        reason: String,
    },
    /// The ciphertext was altered, or belongs to another workspace, secret, version, name, purpose,
    /// tier, installation or master.
    #[error(
        "the stored value does not decrypt: it was altered or belongs elsewhere; set it again, or restore the matching database and master secret"
    )]
    DoesNotDecrypt,
    /// Over a limit of the protocol.
    #[error("{what} has {bytes} bytes and the limit is {limit}; make it smaller")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many of these in a short time.
    #[error("too many requests to the vault for this; try again in {retry_after_ms} ms")]
    Throttled {
        /// When the next one will be accepted.
        retry_after_ms: u64,
    },
    /// The vault could not write its own record, and does nothing that it cannot record.
    #[error(
        "the vault cannot write its record, so it does not open secrets; free space on the disk of the record file"
    )]
    NotRecorded,
    /// The other end spoke another language: another version of the program, or a bug.
    #[error(
        "the vault and the server do not understand each other ({detail}); restart both with the same version"
    )]
    Protocol {
        /// What was not understood.
        detail: String,
    },
}

impl VaultError {
    /// The kind, in one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout { .. } => "timeout",
            Self::Refused { .. } => "refused",
            Self::DoesNotDecrypt => "does_not_decrypt",
            Self::TooLarge { .. } => "too_large",
            Self::Throttled { .. } => "throttled",
            Self::NotRecorded => "not_recorded",
            Self::Protocol { .. } => "misunderstood",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_come_back() {
        for purpose in SystemPurpose::ALL {
            assert_eq!(SystemPurpose::from_number(purpose.number()), Some(*purpose));
        }
        for purpose in MacPurpose::ALL {
            assert_eq!(MacPurpose::from_number(purpose.number()), Some(*purpose));
        }
        assert_eq!(Tier::from_number(0), None);
        assert_eq!(Tier::from_number(4), None);
    }
}
