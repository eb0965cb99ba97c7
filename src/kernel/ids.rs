//! Typed ids: a prefix that says what it is, and a UUIDv7 in 26 Crockford base32 characters.
//!
//! The text form is that of TypeID: lower case, most significant bit first, so that ids sort by time of
//! creation. A [`ContainerId`] cannot be passed where a [`ProjectId`] is asked for.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Clock, Rng};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What an id names; gives the prefix.
pub trait Kind: Send + Sync + 'static {
    /// Text before the underscore.
    const PREFIX: &'static str;
}

/// An id of `K`.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident $kind:ident $prefix:literal;)*) => {$(
        #[doc(hidden)]
        pub struct $kind;
        impl Kind for $kind { const PREFIX: &'static str = $prefix; }
        $(#[$doc])*
        pub type $name = Id<$kind>;
    )*};
}

kinds! {
    /// A customer.
    OrganizationId Organization "org";
    /// A tenant.
    WorkspaceId Workspace "wsp";
    /// A person.
    UserId User "usr";
    /// A signed-in browser.
    SessionId Session "ses";
    /// An API token.
    TokenId Token "tok";
    /// A body of code in a workspace.
    ProjectId Project "prj";
    /// A member's dev container.
    ContainerId Container "ctr";
    /// A secret, whatever its name.
    SecretId SecretKind "sec";
    /// An entry of the audit log.
    AuditEventId AuditEvent "aud";
    /// An invitation into a workspace.
    InvitationId Invitation "inv";
    /// A place that audit entries are carried to.
    AuditSinkId AuditSink "snk";
    /// A conversation with the assistant.
    AssistantSessionId AssistantSession "ais";
    /// One question and its answer in a conversation with the assistant.
    TurnId Turn "aut";
    /// A file's content before the assistant changed it.
    CheckpointId Checkpoint "chk";
}

/// Text that is not an id of the kind asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{value:?} is not an id of the form {prefix}_ and 26 characters")]
pub struct InvalidId {
    value: String,
    prefix: &'static str,
}

impl<K: Kind> Id<K> {
    /// A new id: 48 bits of time, 74 random bits (RFC 9562, version 7).
    pub fn new(clock: &Clock, rng: &Rng) -> Self {
        let millis = u64::try_from(clock.now_ms()).unwrap_or(0);
        let uuid =
            uuid::Builder::from_unix_timestamp_millis(millis, &rng.bytes::<10>()).into_uuid();
        Self(uuid, PhantomData)
    }

    /// The id that these 16 bytes stand for.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The id as a UUID, for the database.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The id's 16 bytes, for the vault's bindings.
    pub fn bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// The 26 characters without the prefix: fits a DNS label.
    pub fn suffix(self) -> String {
        let mut value = self.0.as_u128();
        let mut text = [0u8; 26];
        for place in text.iter_mut().rev() {
            let digit = usize::try_from(value & 31).unwrap_or(0);
            *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
            value >>= 5;
        }
        text.iter().map(|&byte| char::from(byte)).collect()
    }

    /// Reads the 26 characters of [`Id::suffix`].
    ///
    /// # Errors
    /// [`InvalidId`] when there are not exactly 26 characters of the alphabet, or they exceed 128 bits.
    pub fn from_suffix(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            value: text.chars().take(64).collect(),
            prefix: K::PREFIX,
        };
        // 26 characters hold 130 bits: the first may be at most 7.
        if text.len() != 26 || !matches!(text.as_bytes().first(), Some(b'0'..=b'7')) {
            return Err(invalid());
        }
        let mut value = 0u128;
        for byte in text.bytes() {
            let digit = ALPHABET
                .iter()
                .position(|&known| known == byte)
                .ok_or_else(invalid)?;
            value = (value << 5) | u128::try_from(digit).unwrap_or(0);
        }
        Ok(Self(Uuid::from_u128(value), PhantomData))
    }
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .and_then(|suffix| Self::from_suffix(suffix).ok())
            .ok_or_else(|| InvalidId {
                value: text.chars().take(64).collect(),
                prefix: K::PREFIX,
            })
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", K::PREFIX, self.suffix())
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_sorts_by_time() {
        let clock = Clock::fixed(1_700_000_000_000);
        let first = ProjectId::new(&clock, &Rng);
        clock.advance_ms(1);
        let second = ProjectId::new(&clock, &Rng);
        assert_eq!(first.to_string().parse::<ProjectId>().unwrap(), first);
        assert!(first.to_string() < second.to_string());
        assert_eq!(first.to_string().len(), 4 + 26);
    }

    #[test]
    fn other_prefixes_and_bad_text_are_refused() {
        let id = ProjectId::new(&Clock::system(), &Rng).to_string();
        assert!(id.parse::<ContainerId>().is_err());
        for bad in [
            "",
            "prj_",
            "prj_u",
            "prj_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            &id.to_uppercase(),
        ] {
            assert!(bad.parse::<ProjectId>().is_err(), "{bad:?}");
        }
    }
}
