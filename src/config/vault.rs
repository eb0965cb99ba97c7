//! `[vault]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The vault process.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct VaultConfig {
    /// The master secret, with the file `install-id` beside it; without it, `vault/master` in the data folder. Servers that
    /// share a database name copies of the same two files. Example: `"/etc/optidev/vault/master"`.
    pub master_file: Option<PathBuf>,
    /// The socket of a vault process that somebody else starts (`optidev vault serve`), as a user of its own: this server then
    /// starts none, waits for that one, and has no master secret. Without it, the server starts a vault process itself.
    /// Example: `"/run/optidev/vault/vault.sock"`.
    pub socket: Option<PathBuf>,
    /// Refuse to start where the kernel lacks some of what keeps the master secret apart: `memfd_secret` pages, landlock for
    /// the vault process and for the server, the filter of system calls. `optidev doctor` says what there is.
    pub require_hardening: bool,
}

impl VaultConfig {
    /// The master secret's file: the configured one, or the one in the data folder.
    #[must_use]
    pub fn master(&self, paths: &super::Paths) -> PathBuf {
        let configured = self.master_file.clone();
        configured.unwrap_or_else(|| paths.vault().join("master"))
    }

    /// Where the vault process listens.
    #[must_use]
    pub fn socket(&self, paths: &super::Paths) -> PathBuf {
        let configured = self.socket.clone();
        configured.unwrap_or_else(|| paths.run().join("vault.sock"))
    }

    /// What is wrong with these settings together, if anything.
    pub(super) fn contradiction(&self) -> Option<String> {
        let (socket, master) = (self.socket.as_ref()?, self.master_file.as_ref()?);
        Some(format!(
            "settings \"vault.socket\" ({}) and \"vault.master_file\" ({}) contradict each other: a vault process that \
             somebody else starts is given its master secret there (`optidev vault serve --master-file`), and this server \
             must not be able to read it. Remove one of the two.",
            socket.display(),
            master.display()
        ))
    }
}
