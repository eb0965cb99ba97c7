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
}
