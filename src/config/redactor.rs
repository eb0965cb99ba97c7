//! `[redactor]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The redactor, which keeps hidden values of a workspace out of what goes to an AI provider.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedactorConfig {
    /// The socket of a redactor that somebody else starts (`optidev redactor`), as a user of its own: the vault process is
    /// started apart, too, and knows that user (`--redactor-uid`). Without it, the server starts one together with
    /// its own vault process; beside a vault that is started apart there is none then, and nothing of a workspace that has
    /// secrets goes to the AI provider. Example: `"/run/optidev/redactor/redactor.sock"`.
    pub socket: Option<PathBuf>,
}

impl RedactorConfig {
    /// What is wrong with these settings beside those of the vault, if anything.
    pub(super) fn contradiction(&self, vault: &super::VaultConfig) -> Option<String> {
        let socket = self.socket.as_ref().filter(|_| vault.socket.is_none())?;
        Some(format!(
            "setting \"redactor.socket\" ({}) names a redactor that is started apart, and \"vault.socket\" is not set: a vault \
             process that the server starts knows no other redactor than its own. Set vault.socket as well, or remove \
             redactor.socket.",
            socket.display()
        ))
    }

    /// Where the redactor listens.
    #[must_use]
    pub fn socket(&self, paths: &super::Paths) -> PathBuf {
        let configured = self.socket.clone();
        configured.unwrap_or_else(|| paths.run().join("redactor.sock"))
    }
}
