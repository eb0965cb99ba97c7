//! `[server]`

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The listener and the addresses that people see.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on. Example: `"127.0.0.1:8080"`.
    pub listen: SocketAddr,
    /// Address under which browsers reach the console; empty means `http(s)://localhost:<port>`.
    /// Example: `"https://dev.example.com"`.
    pub public_url: String,
    /// More names under which requests may come, beside that of `public_url`; others are answered 421.
    /// Example: `["optidev.tools.svc"]`.
    pub other_names: Vec<String>,
    /// Addresses of proxies in front, whose header `X-Forwarded-For` is believed. Example: `["10.0.0.0/8"]`.
    pub trusted_proxies: Vec<IpNet>,
    /// Domain below which previews open as `<port>--<container>.<apps_domain>`. Example: `"apps.example.com"`.
    pub apps_domain: String,
    /// A session that was not used for this long ends, in minutes.
    pub session_idle_minutes: u32,
    /// A session ends after this long whatever happens, in hours.
    pub session_absolute_hours: u32,
    /// Largest archive that a project may be imported from, in MiB.
    pub max_import_mib: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: String::new(),
            other_names: Vec::new(),
            trusted_proxies: Vec::new(),
            apps_domain: "localhost".to_owned(),
            session_idle_minutes: 12 * 60,
            session_absolute_hours: 24 * 7,
            max_import_mib: 512,
        }
    }
}
