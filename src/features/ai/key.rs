//! The upstream key: read from its file once and sealed by the vault, or given to the vault on the host; opened at the moment
//! of use.

use std::path::PathBuf;

use axum::http::HeaderValue;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::context::Services;
use crate::features::credentials;
use crate::kernel::SecretBytes;
use crate::store::StoreError;
use crate::vault::{Sealed, SystemPurpose, VaultClient, VaultError};

/// The setting that names the file, as people are told.
pub const SETTING: &str = "[ai] anthropic_api_key_file";

/// What the sealed key is bound to, beside its purpose.
const NAME: &str = "anthropic";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The setting is not there.
    #[error(
        "no upstream key is configured; set {SETTING} to the path of a file that holds it, or run optidev vault credential \
         set upstream_ai_key"
    )]
    NotConfigured,
    /// The file is not there, or holds no key.
    #[error("the file that {SETTING} names cannot be used: {0}")]
    File(String),
    /// The vault did not seal or open it.
    #[error("the vault did not give the upstream key")]
    Vault(#[from] VaultError),
    /// The database did not answer.
    #[error("the database did not give the upstream key")]
    Store(#[from] StoreError),
}

/// The upstream key, as ciphertext.
pub struct UpstreamKey {
    vault: VaultClient,
    file: Option<PathBuf>,
    /// Where the key is looked for that no file holds.
    stored: Option<Services>,
    /// What the file held.
    sealed: Mutex<Option<Sealed>>,
    #[cfg(test)]
    fixed: Option<&'static str>,
}

impl UpstreamKey {
    /// Reads nothing yet.
    pub fn new(vault: VaultClient, file: Option<PathBuf>) -> Self {
        Self {
            vault,
            file,
            stored: None,
            sealed: Mutex::default(),
            #[cfg(test)]
            fixed: None,
        }
    }

    /// Without a file, takes the key that was given to the vault.
    pub fn or_stored(mut self, services: Services) -> Self {
        self.stored = Some(services);
        self
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
        let open = async |sealed: Sealed| {
            let purpose = SystemPurpose::UpstreamAiKey;
            self.vault.open(purpose, NAME, &sealed).await
        };
        let key = match open(self.sealed().await?).await {
            Err(VaultError::DoesNotDecrypt) => {
                // Sealed before the master was rotated: what was remembered of the file is read again.
                *self.sealed.lock().await = None;
                open(self.sealed().await?).await?
            }
            opened => opened?,
        };
        let mut value = HeaderValue::from_bytes(key.expose())
            .map_err(|_| KeyError::File("it holds characters that no key has".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn sealed(&self) -> Result<Sealed, KeyError> {
        let Some(file) = &self.file else {
            let services = self.stored.as_ref().ok_or(KeyError::NotConfigured)?;
            let found = credentials::find(services, SystemPurpose::UpstreamAiKey, NAME).await?;
            return found.ok_or(KeyError::NotConfigured);
        };
        let mut remembered = self.sealed.lock().await;
        if let Some(sealed) = &*remembered {
            return Ok(sealed.clone());
        }
        let unusable = |reason: String| KeyError::File(format!("{}: {reason}", file.display()));
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
        let sealed = self
            .vault
            .seal_system(SystemPurpose::UpstreamAiKey, NAME, key)
            .await?;
        Ok(remembered.insert(sealed).clone())
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
