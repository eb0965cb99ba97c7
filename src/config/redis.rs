//! `[redis]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ServiceUrl;

/// What several replicas share: limits, revocations, locks, and what was used once. One replica needs none.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// Address of the Redis server; empty for none, which is right for one replica. `rediss://` is TLS with a checked
    /// certificate, and asked for unless the server is this machine. Example: `"rediss://optidev@redis.example.com:6379"`.
    pub url: ServiceUrl,
    /// File with the password of the user in `url`. Example: `"/etc/optidev/redis.password"`.
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authority of the Redis server, trusted instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Connect over a network in the clear: then somebody between here and the server can read and change what is shared.
    /// For networks that protect the way by other means.
    pub allow_unverified_server: bool,
    /// Before every key and channel, so that installations can share a server.
    pub key_prefix: String,
    /// An answer that takes longer counts as none.
    pub timeout_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: ServiceUrl::default(),
            password_file: None,
            ca_file: None,
            allow_unverified_server: false,
            key_prefix: "optidev".to_owned(),
            timeout_ms: 500,
        }
    }
}
