//! `[egress]`

use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::ServiceUrl;

/// What containers may reach, through the egress role only.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressConfig {
    /// Hosts that containers may connect to: `host`, `host:port` or `*.suffix` (any name below it). Without a
    /// port, 443, and 80 for plain requests, are meant. Example: `["registry.npmjs.org", "*.githubusercontent.com", "git.example.com:8443"]`.
    pub allow: Vec<String>,
    /// Special-purpose address ranges (private, loopback, link-local, documentation, ...) that allowed names may
    /// resolve to all the same. Example: `["10.20.0.0/16"]` for a registry mirror inside the company.
    pub also_allow: Vec<IpNet>,
    /// Whether owners and admins of a workspace may add hosts to what its containers reach. They open names and public addresses only,
    /// within their organization's ceiling. Off, so that nothing but this file opens a way out: each host that is added is a place to
    /// which code in a container can send what it knows.
    pub workspace_additions: bool,
    /// A proxy of the company, to which every connection goes that is let through; empty for none. Names are then resolved by it, and where
    /// they lead is not checked here. Example: `"http://proxy.example.com:3128"`.
    pub upstream_proxy: ServiceUrl,
    /// Who OptiDev is to that proxy, by Basic authentication. Example: `"optidev"`.
    pub upstream_proxy_user: String,
    /// File with the password of that user. Example: `"/etc/optidev/proxy.password"`.
    pub upstream_proxy_password_file: Option<PathBuf>,
    /// What is connected to directly, with the check of the address, written as in `allow`. Example: `["*.corp.example.com"]`.
    pub upstream_proxy_except: Vec<String>,
    /// Longest time to establish a connection, in milliseconds.
    pub connect_timeout_ms: u64,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            allow: [
                "registry.npmjs.org",
                "pypi.org",
                "files.pythonhosted.org",
                "crates.io",
                "index.crates.io",
                "static.crates.io",
                "proxy.golang.org",
                "sum.golang.org",
                "github.com",
                "codeload.github.com",
                "*.githubusercontent.com",
                "gitlab.com",
            ]
            .map(str::to_owned)
            .to_vec(),
            also_allow: Vec::new(),
            workspace_additions: false,
            upstream_proxy: ServiceUrl::default(),
            upstream_proxy_user: String::new(),
            upstream_proxy_password_file: None,
            upstream_proxy_except: Vec::new(),
            connect_timeout_ms: 10_000,
        }
    }
}
