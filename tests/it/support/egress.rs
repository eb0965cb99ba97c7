//! Where npm's registry is for this machine, and what the egress guard must be told to let it through.

use std::net::{IpAddr, ToSocketAddrs};
use std::process::Command;

use ipnet::IpNet;

use super::path_variable;

/// Address ranges that are not public (IANA's special-purpose registries), widest first.
const SPECIAL_PURPOSE: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// The npm registry as this machine sees it.
#[derive(Debug, Clone)]
pub struct Registry {
    /// As npm is configured: `https://registry.npmjs.org/`.
    pub url: String,
    /// For `[egress] allow`; with a port when it is not the scheme's own.
    pub host: String,
    /// For `[egress] also_allow`: none when every address is public.
    pub also_allow: Vec<String>,
}

impl Registry {
    /// Asks npm for its setting, and the machine's resolver for the addresses.
    pub fn of_this_machine() -> Self {
        let output = Command::new("npm")
            .args(["config", "get", "registry"])
            .env("PATH", path_variable())
            .output();
        let output = output.expect("npm does not start: run `scripts/need node`");
        let url = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let parsed = url::Url::parse(&url)
            .unwrap_or_else(|error| panic!("npm's registry {url:?} is no URL: {error}"));
        let name = parsed.host_str().unwrap().to_owned();
        let port = parsed.port_or_known_default().unwrap();
        let addresses: Vec<IpAddr> = (name.as_str(), port)
            .to_socket_addrs()
            .unwrap_or_else(|error| panic!("{name} does not resolve: {error}"))
            .map(|address| address.ip())
            .collect();
        let host = parsed
            .port()
            .map_or(name.clone(), |port| format!("{name}:{port}"));
        Self {
            url,
            host,
            also_allow: special_ranges(&addresses),
        }
    }

    /// The `[egress]` settings with which `npm install` works here, for [`super::server::Builder::set`].
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let quote = |items: &[String]| serde_json::to_string(items).unwrap();
        let mut settings = vec![("egress.allow", quote(std::slice::from_ref(&self.host)))];
        if !self.also_allow.is_empty() {
            settings.push(("egress.also_allow", quote(&self.also_allow)));
        }
        settings
    }
}

/// The special-purpose ranges that hold one of `addresses`, each once.
fn special_ranges(addresses: &[IpAddr]) -> Vec<String> {
    let mut ranges: Vec<String> = Vec::new();
    for address in addresses {
        // ::ffff:a.b.c.d is a.b.c.d.
        let address = address.to_canonical();
        let range = SPECIAL_PURPOSE
            .iter()
            .find(|range| range.parse::<IpNet>().unwrap().contains(&address));
        if let Some(range) = range
            && !ranges.iter().any(|known| known == range)
        {
            ranges.push((*range).to_owned());
        }
    }
    ranges
}

#[test]
fn only_special_addresses_need_an_exception() {
    let ranges = |addresses: &[&str]| {
        special_ranges(
            &addresses
                .iter()
                .map(|text| text.parse().unwrap())
                .collect::<Vec<_>>(),
        )
    };
    assert!(ranges(&["104.16.0.34", "2606:4700::6810:22"]).is_empty());
    assert_eq!(
        ranges(&["203.0.113.80", "203.0.113.81", "10.1.2.3"]),
        ["203.0.113.0/24", "10.0.0.0/8"]
    );
    assert_eq!(
        ranges(&["::ffff:192.168.1.1", "fd00::1"]),
        ["192.168.0.0/16", "fc00::/7"]
    );
}
