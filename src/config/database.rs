//! `[database]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ServiceUrl;

/// Where rows are kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Empty for SQLite in the data folder, or the PostgreSQL address of the server's own role, which may change rows and
    /// nothing else. A host that is not this machine is asked for a certificate with its name (`sslmode=verify-full`).
    /// Example: `"postgres://optidev@db.example.com/optidev"`.
    pub url: ServiceUrl,
    /// File with the password of the role in `url`. Example: `"/etc/optidev/database.password"`.
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authority of the PostgreSQL server, trusted beside the public ones.
    /// Example: `"/etc/optidev/database-ca.pem"`.
    pub ca_file: Option<PathBuf>,
    /// Connect over a network although `sslmode` in an address asks for less than `verify-full`: then somebody between here
    /// and the server can read and change everything. For networks that protect the way by other means.
    pub allow_unverified_server: bool,
    /// The PostgreSQL address of the role that owns the tables, for `optidev migrate` alone; `optidev serve` ignores it.
    /// Example: `"postgres://optidev_owner@db.example.com/optidev"`.
    pub migrate_url: ServiceUrl,
    /// File with the password of the role in `migrate_url`. Example: `"/etc/optidev/migrate.password"`.
    pub migrate_password_file: Option<PathBuf>,
    /// The PostgreSQL address of the role of `optidev controller`, which may read and change rows about pods alone. Only
    /// `optidev migrate` reads it here, to make the role; the controller itself has it in `url`.
    /// Example: `"postgres://optidev_controller@db.example.com/optidev"`.
    pub controller_url: ServiceUrl,
    /// Most connections held open.
    pub max_connections: u32,
    /// PostgreSQL ends a statement that runs for longer, and a transaction in which nothing happens for as long.
    pub statement_timeout_ms: u64,
    /// PostgreSQL ends a statement that waits for a lock for longer.
    pub lock_timeout_ms: u64,
    /// A request waits so long for a connection before it answers 503.
    pub acquire_timeout_ms: u64,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: ServiceUrl::default(),
            password_file: None,
            ca_file: None,
            allow_unverified_server: false,
            migrate_url: ServiceUrl::default(),
            migrate_password_file: None,
            controller_url: ServiceUrl::default(),
            max_connections: 8,
            statement_timeout_ms: 30_000,
            lock_timeout_ms: 5_000,
            acquire_timeout_ms: 5_000,
        }
    }
}
