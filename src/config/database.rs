//! `[database]`

use serde::{Deserialize, Serialize};

/// Where rows are kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// Empty for SQLite in the data folder, or a PostgreSQL address.
    /// Example: `"postgres://optidev@db.example.com/optidev"`.
    pub url: String,
    /// Most connections held open.
    pub max_connections: u32,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            max_connections: 8,
        }
    }
}
