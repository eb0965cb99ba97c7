//! Tickets and cookies: what a browser shows to be let into a preview.
//!
//! Both say who may see which port of which container, and carry the vault's MAC over it. A ticket is good once and for
//! half a minute; a cookie as long as the session that it came from, and for a day at most. One is never good as the
//! other, or at another host.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use crate::authz::Credential;
use crate::features::containers::Identity;
use crate::kernel::{ContainerId, Rng, SessionId, TokenId, UserId, WorkspaceId};
use crate::vault::{MacPurpose, VaultClient, VaultError};

pub const TICKET_MS: i64 = 30_000;
const COOKIE_MS: i64 = 24 * 60 * 60 * 1_000;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In an address, once.
    Ticket,
    /// In a cookie.
    Cookie,
}

/// Who may see what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Whose container.
    pub who: Identity,
    /// Which port.
    pub port: u16,
    /// What it hangs on. A token's scopes were checked when the preview was opened and are not kept.
    pub credential: Credential,
}

/// 1 + 16 + 16 + 16 + 2 + 1 + 16 + 8 + 16 bytes; see [`Pass::encode`].
const LENGTH: usize = 92;
const MAC: usize = 32;

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Ticket => 1,
            Self::Cookie => 2,
        }
    }

    fn lifetime_ms(self) -> i64 {
        match self {
            Self::Ticket => TICKET_MS,
            Self::Cookie => COOKIE_MS,
        }
    }
}

impl Pass {
    /// The text form, with the vault's MAC.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub async fn issue(
        &self,
        kind: Kind,
        vault: &VaultClient,
        rng: &Rng,
        now_ms: i64,
    ) -> Result<String, VaultError> {
        let mut bytes = self.encode(
            kind,
            now_ms.saturating_add(kind.lifetime_ms()),
            rng.bytes::<16>(),
        );
        let mac = vault.mac(MacPurpose::Ticket, &labelled(&bytes)).await?;
        bytes.extend_from_slice(&mac);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a text form: the pass and its number, or nothing when it is of another kind, too old or not ours.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub async fn check(
        text: &str,
        kind: Kind,
        vault: &VaultClient,
        now_ms: i64,
    ) -> Result<Option<(Self, [u8; 16], i64)>, VaultError> {
        let Some(bytes) = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .filter(|bytes| bytes.len() == LENGTH + MAC)
        else {
            return Ok(None);
        };
        let (bytes, shown) = bytes.split_at(LENGTH);
        let mac = vault.mac(MacPurpose::Ticket, &labelled(bytes)).await?;
        if !bool::from(mac.as_slice().ct_eq(shown)) {
            return Ok(None);
        }
        let Some((found, pass, expires_ms, number)) = Self::decode(bytes) else {
            return Ok(None);
        };
        Ok((found == kind.byte() && expires_ms > now_ms).then_some((pass, number, expires_ms)))
    }

    /// Fields of fixed length, so that no two passes have the same bytes.
    fn encode(&self, kind: Kind, expires_ms: i64, number: [u8; 16]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH + MAC);
        bytes.push(kind.byte());
        bytes.extend_from_slice(&self.who.workspace.bytes());
        bytes.extend_from_slice(&self.who.container.bytes());
        bytes.extend_from_slice(&self.who.owner.bytes());
        bytes.extend_from_slice(&self.port.to_be_bytes());
        let (credential_kind, id) = match &self.credential {
            Credential::Session(id) => (1, id.bytes()),
            Credential::Token(id, _) => (2, id.bytes()),
        };
        bytes.push(credential_kind);
        bytes.extend_from_slice(&id);
        bytes.extend_from_slice(&expires_ms.to_be_bytes());
        bytes.extend_from_slice(&number);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<(u8, Self, i64, [u8; 16])> {
        let (kind, rest) = bytes.split_first()?;
        let (workspace, rest) = rest.split_first_chunk::<16>()?;
        let (container, rest) = rest.split_first_chunk::<16>()?;
        let (owner, rest) = rest.split_first_chunk::<16>()?;
        let (port, rest) = rest.split_first_chunk::<2>()?;
        let (credential_kind, rest) = rest.split_first()?;
        let (credential, rest) = rest.split_first_chunk::<16>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let number: [u8; 16] = rest.try_into().ok()?;
        let id = |bytes: &[u8; 16]| uuid::Uuid::from_bytes(*bytes);
        let credential = match credential_kind {
            1 => Credential::Session(SessionId::from_uuid(id(credential))),
            2 => Credential::Token(TokenId::from_uuid(id(credential)), Vec::new()),
            _ => return None,
        };
        let who = Identity {
            workspace: WorkspaceId::from_uuid(id(workspace)),
            container: ContainerId::from_uuid(id(container)),
            owner: UserId::from_uuid(id(owner)),
        };
        let pass = Self {
            who,
            port: u16::from_be_bytes(*port),
            credential,
        };
        Some((*kind, pass, i64::from_be_bytes(*expires), number))
    }
}

fn labelled(bytes: &[u8]) -> Vec<u8> {
    let mut data = b"optidev preview v1\0".to_vec();
    data.extend_from_slice(bytes);
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Clock;

    #[test]
    fn a_pass_survives_its_text() {
        let clock = Clock::system();
        let pass = Pass {
            who: Identity {
                workspace: WorkspaceId::new(&clock, &Rng),
                container: ContainerId::new(&clock, &Rng),
                owner: UserId::new(&clock, &Rng),
            },
            port: 5173,
            credential: Credential::Session(SessionId::new(&clock, &Rng)),
        };
        let bytes = pass.encode(Kind::Ticket, 7, [3; 16]);
        assert_eq!(bytes.len(), LENGTH);
        assert_eq!(Pass::decode(&bytes), Some((1, pass.clone(), 7, [3; 16])));
        assert_eq!(Pass::decode(&bytes[1..]), None);
    }
}
