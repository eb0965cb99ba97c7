//! The upstream key: read from its file once, sealed by the vault, opened at the moment of use.

use std::path::PathBuf;

use axum::http::HeaderValue;
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::kernel::SecretBytes;
use crate::vault::{Sealed, SystemPurpose, VaultClient, VaultError};

/// The setting that names the file, as people are told.
pub const SETTING: &str = "[ai] anthropic_api_key_file";

/// What the sealed key is bound to, beside its purpose.
const NAME: &str = "anthropic";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The setting is not there.
    #[error("no upstream key is configured; set {SETTING} to the path of a file that holds it")]
    NotConfigured,
    /// The file is not there, or holds no key.
    #[error("the file that {SETTING} names cannot be used: {0}")]
    File(String),
    /// The vault did not seal or open it.
    #[error("the vault did not give the upstream key")]
    Vault(#[from] VaultError),
}

/// The upstream key, as ciphertext.
pub struct UpstreamKey {
    vault: VaultClient,
    file: Option<PathBuf>,
    sealed: OnceCell<Sealed>,
    #[cfg(test)]
    fixed: Option<&'static str>,
}

impl UpstreamKey {
    /// Reads nothing yet.
    pub fn new(vault: VaultClient, file: Option<PathBuf>) -> Self {
        Self {
            vault,
            file,
            sealed: OnceCell::new(),
            #[cfg(test)]
            fixed: None,
        }
    }

    /// A key without a vault, for tests of what is done with it.
    #[cfg(test)]
    pub fn fixed(key: &'static str) -> Self {
        Self {
            fixed: Some(key),
            ..Self::new(VaultClient::new(PathBuf::from("/nonexistent")), None)
        }
    }

    /// Seals the key. A failure is logged and tried again when the key is needed: it must not keep the server down.
    pub async fn load_at_start(&self) {
        match self.sealed().await {
            Ok(_) | Err(KeyError::NotConfigured) => {}
            Err(error) => tracing::warn!(%error, "the AI gateway and the assistant are not ready"),
        }
    }

    /// Whether there is a key.
    ///
    /// # Errors
    /// Why there is none: what the operator must set, or a vault that is away for the moment.
    pub async fn ready(&self) -> Result<(), KeyError> {
        #[cfg(test)]
        if self.fixed.is_some() {
            return Ok(());
        }
        self.sealed().await.map(drop)
    }

    /// The key as a header's value, marked so that it is not printed.
    pub async fn header(&self) -> Result<HeaderValue, KeyError> {
        #[cfg(test)]
        if let Some(key) = self.fixed {
            return Ok(HeaderValue::from_static(key));
        }
        let key = self
            .vault
            .open(SystemPurpose::UpstreamAiKey, NAME, self.sealed().await?)
            .await?;
        let mut value = HeaderValue::from_bytes(key.expose())
            .map_err(|_| KeyError::File("it holds characters that no key has".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn sealed(&self) -> Result<&Sealed, KeyError> {
        self.sealed
            .get_or_try_init(|| async {
                let file = self.file.as_ref().ok_or(KeyError::NotConfigured)?;
                let unusable =
                    |reason: String| KeyError::File(format!("{}: {reason}", file.display()));
                let text = Zeroizing::new(
                    tokio::fs::read(file)
                        .await
                        .map_err(|error| unusable(error.to_string()))?,
                );
                let key = text.trim_ascii();
                if key.is_empty() || !key.iter().all(u8::is_ascii_graphic) {
                    return Err(unusable(
                        "it must hold the key alone, on one line".to_owned(),
                    ));
                }
                let key = SecretBytes::from(key);
                Ok(self
                    .vault
                    .seal_system(SystemPurpose::UpstreamAiKey, NAME, key)
                    .await?)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_vault_that_is_away_is_not_a_missing_setting() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "sk-test\n").unwrap();
        let vault = || VaultClient::new(folder.path().join("no-vault"));
        let away = UpstreamKey::new(vault(), Some(file.clone())).ready().await;
        assert!(matches!(away, Err(KeyError::Vault(_))), "{away:?}");
        std::fs::write(&file, "two words").unwrap();
        let unusable = UpstreamKey::new(vault(), Some(file)).ready().await;
        assert!(matches!(unusable, Err(KeyError::File(_))), "{unusable:?}");
        let missing = UpstreamKey::new(vault(), None).ready().await;
        assert!(
            matches!(missing, Err(KeyError::NotConfigured)),
            "{missing:?}"
        );
    }
}
