//! `[metrics]`

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// What is counted, for Prometheus.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Address and port of `/metrics`, which has no sign-in: a network decides who may ask. Empty: none.
    /// Example: `"127.0.0.1:9090"`.
    pub listen: String,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9090".to_owned(),
        }
    }
}

impl MetricsConfig {
    /// Where to listen, if at all.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// What is wrong, as a sentence.
    pub(super) fn contradiction(&self) -> Option<String> {
        let wrong = !self.listen.is_empty() && self.address().is_none();
        wrong.then(|| {
            format!(
                "[metrics] listen is {:?}: write an address and a port, as in \"127.0.0.1:9090\", or nothing for no metrics.",
                self.listen
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_addresses_are_taken() {
        let said = |listen: &str| {
            let listen = listen.to_owned();
            MetricsConfig { listen }.contradiction()
        };
        assert_eq!(said(""), None);
        assert_eq!(said("[::1]:9090"), None);
        assert!(said("9090").is_some_and(|said| said.contains("\"9090\"")));
    }
}
