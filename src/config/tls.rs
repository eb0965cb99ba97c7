//! `[tls]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// TLS of the listener.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// Serve TLS 1.2 and 1.3 instead of plain HTTP.
    pub enabled: bool,
    /// PEM certificate chain; without it a self-signed certificate is made once and kept.
    pub certificate_file: Option<PathBuf>,
    /// PEM private key of the certificate.
    pub key_file: Option<PathBuf>,
    /// PEM certificates of authorities. When given, only who shows a client certificate of theirs is answered, but for health checks:
    /// a proxy in front, such as Cloudflare with authenticated origin pulls.
    pub client_ca_file: Option<PathBuf>,
}
