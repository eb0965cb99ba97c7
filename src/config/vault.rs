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
}
