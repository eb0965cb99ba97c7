//! The allow-list: which hosts and ports containers may connect to. Pure.

use std::fmt;

use super::host::{Host, Target};

/// The ports that a pattern without one means.
const DEFAULT_PORTS: [u16; 2] = [PLAIN_HTTP, 443];
/// Where a pattern without a port lets requests through, but no tunnel.
const PLAIN_HTTP: u16 = 80;

/// An entry of a list that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the entry {entry:?}: {reason}. Use \"host\", \"host:port\" or \"*.suffix\"")]
pub struct PatternError {
    entry: String,
    reason: &'static str,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// An entry of a list.
    #[error("setting \"egress.{0}\" has {1}")]
    List(&'static str, PatternError),
    /// Anything else, with what is wrong with it.
    #[error("setting \"egress.{0}\" {1}")]
    Other(&'static str, String),
}

/// A parsed allow-list.
#[derive(Debug, Clone, Default)]
pub struct AllowList(Vec<Pattern>);

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    host: Matcher,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Matcher {
    Exactly(Host),
    /// Any name that ends with this; it starts with a dot.
    Below(String),
}

impl AllowList {
    /// Reads the entries of a list.
    ///
    /// # Errors
    /// [`PatternError`] names the first entry that cannot be used.
    pub fn parse(entries: &[String]) -> Result<Self, PatternError> {
        entries
            .iter()
            .map(|entry| Pattern::parse(entry))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Reads the entries that can be used, and leaves out the others.
    pub fn parse_known(entries: &[String]) -> Self {
        let known = entries
            .iter()
            .filter_map(|entry| Pattern::parse(entry).ok());
        Self(known.collect())
    }

    /// Whether all that `pattern` lets through is let through here, too.
    pub fn covers(&self, pattern: &Pattern) -> bool {
        let port_of_own = |own: &Pattern, port: u16| match own.port {
            Some(named) => named == port,
            None => DEFAULT_PORTS.contains(&port),
        };
        let covered = |port: u16, named: bool| {
            self.0.iter().any(|own| {
                // Naming port 80 lets tunnels through, which takes an entry that names it.
                let tunnels = own.port.is_some() || !named || port != PLAIN_HTTP;
                tunnels && port_of_own(own, port) && own.host.covers(&pattern.host)
            })
        };
        match pattern.port {
            Some(port) => covered(port, true),
            None => DEFAULT_PORTS.iter().all(|&port| covered(port, false)),
        }
    }

    /// Whether a connection to `target` may be made, as far as name and port go.
    pub fn allows(&self, target: &Target) -> bool {
        self.0.iter().any(|pattern| pattern.matches(target))
    }

    /// Whether `target` may be reached through a tunnel, whose content nobody judges.
    ///
    /// On port 443 the TLS hello has to name the host. Plain HTTP has nothing of that kind: behind an address that
    /// many sites share, the Host header would choose one that is not listed. So port 80 takes an entry that names it.
    pub fn allows_tunnel(&self, target: &Target) -> bool {
        self.0.iter().any(|pattern| {
            pattern.matches(target) && (pattern.port.is_some() || target.port != PLAIN_HTTP)
        })
    }
}

impl Matcher {
    /// Whether every host that `other` means is meant here.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(own), Self::Exactly(host)) => own == host,
            (Self::Below(suffix), Self::Exactly(Host::Name(name))) => {
                name.ends_with(suffix) && name.len() > suffix.len()
            }
            (Self::Below(suffix), Self::Below(longer)) => longer.ends_with(suffix),
            (Self::Below(_), Self::Exactly(Host::Address(_)))
            | (Self::Exactly(_), Self::Below(_)) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Matcher::Exactly(host) => host.fmt(f)?,
            Matcher::Below(suffix) => write!(f, "*{suffix}")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Pattern {
    /// Whether it means an address and no names.
    pub fn is_address(&self) -> bool {
        matches!(self.host, Matcher::Exactly(Host::Address(_)))
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// [`PatternError`] says why it cannot be used.
    pub fn parse(entry: &str) -> Result<Self, PatternError> {
        let wrong = |reason| PatternError {
            entry: entry.to_owned(),
            reason,
        };
        let (host, port) = match entry.rsplit_once(':') {
            // The colons of an address in brackets are not in front of a port.
            Some((host, port)) if !port.contains(']') => {
                let number = port.parse::<u16>().ok().filter(|&number| number != 0);
                (
                    host,
                    Some(number.ok_or_else(|| wrong("the port must be a number from 1 to 65535"))?),
                )
            }
            _ => (entry, None),
        };
        if let Some(suffix) = host.strip_prefix("*.") {
            return match Host::parse(suffix) {
                Ok(Host::Name(name)) => Ok(Self {
                    host: Matcher::Below(format!(".{name}")),
                    port,
                }),
                _ => Err(wrong("what follows \"*.\" must be a name")),
            };
        }
        if host.contains('*') {
            return Err(wrong(
                "a star may only stand for whole labels in front, as in \"*.example.com\"",
            ));
        }
        let host =
            Host::parse(host).map_err(|_| wrong("this is not a host name or a plain address"))?;
        Ok(Self {
            host: Matcher::Exactly(host),
            port,
        })
    }

    fn matches(&self, target: &Target) -> bool {
        let port = match self.port {
            Some(port) => port == target.port,
            None => DEFAULT_PORTS.contains(&target.port),
        };
        port && match (&self.host, &target.host) {
            (Matcher::Exactly(host), other) => host == other,
            (Matcher::Below(suffix), Host::Name(name)) => {
                name.ends_with(suffix) && name.len() > suffix.len()
            }
            (Matcher::Below(_), Host::Address(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> AllowList {
        AllowList::parse(
            &entries
                .iter()
                .map(|&entry| entry.to_owned())
                .collect::<Vec<_>>(),
        )
        .unwrap()
    }

    fn allows(list: &AllowList, host: &str, port: u16) -> bool {
        Host::parse(host).is_ok_and(|host| list.allows(&Target { host, port }))
    }

    #[test]
    fn hosts_ports_and_suffixes() {
        let list = list(&[
            "Registry.npmjs.org",
            "*.githubusercontent.com",
            "git.example.com:8443",
            "bücher.example",
        ]);
        for (host, port) in [
            ("registry.npmjs.org", 443),
            ("REGISTRY.npmjs.org.", 80),
            ("raw.githubusercontent.com", 443),
            ("a.b.githubusercontent.com", 443),
            ("git.example.com", 8443),
            ("xn--bcher-kva.example", 443),
        ] {
            assert!(allows(&list, host, port), "{host}:{port}");
        }
        for (host, port) in [
            ("registry.npmjs.org", 22),
            ("evil-registry.npmjs.org", 443),
            ("registry.npmjs.org.evil.example", 443),
            ("npmjs.org", 443),
            ("githubusercontent.com", 443),
            ("evilgithubusercontent.com", 443),
            ("git.example.com", 443),
            ("127.0.0.1", 443),
        ] {
            assert!(!allows(&list, host, port), "{host}:{port}");
        }
    }

    #[test]
    fn a_tunnel_to_port_80_takes_an_entry_that_names_it() {
        let list = list(&[
            "bare.example",
            "*.bare.example",
            "both.example",
            "both.example:80",
        ]);
        let tunnel = |host: &str, port| {
            let host = Host::parse(host).unwrap();
            list.allows_tunnel(&Target { host, port })
        };
        assert!(allows(&list, "bare.example", 80) && !tunnel("bare.example", 80));
        assert!(allows(&list, "a.bare.example", 80) && !tunnel("a.bare.example", 80));
        assert!(tunnel("bare.example", 443) && tunnel("a.bare.example", 443));
        assert!(tunnel("both.example", 80) && tunnel("both.example", 443));
        assert!(!tunnel("other.example", 443));
    }

    #[test]
    fn addresses_only_when_listed_as_such() {
        let list = list(&["127.0.0.1:8080", "[::1]:8080", "localhost:8080"]);
        assert!(allows(&list, "127.0.0.1", 8080) && allows(&list, "[::1]", 8080));
        assert!(!allows(&list, "127.0.0.2", 8080) && !allows(&list, "[::ffff:127.0.0.1]", 8080));
        assert!(!allows(&list, "2130706433", 8080) && !allows(&list, "127.0.0.1", 80));
    }

    #[test]
    fn a_list_covers_what_lets_no_more_through() {
        let wide = list(&[
            "*.corp.example",
            "npm.example:443",
            "plain.example:80",
            "10.0.0.1",
        ]);
        let covers = |entry: &str| wide.covers(&Pattern::parse(entry).unwrap());
        for entry in [
            "a.corp.example",
            "a.b.corp.example:443",
            "*.corp.example",
            "*.a.corp.example:443",
            "npm.example:443",
            "plain.example:80",
            "10.0.0.1",
        ] {
            assert!(covers(entry), "{entry}");
        }
        for entry in [
            "corp.example",
            "evilcorp.example",
            "*.example",
            "*.evilcorp.example",
            "a.corp.example:22",
            // A tunnel to port 80, which "*.corp.example" does not open.
            "a.corp.example:80",
            "npm.example",
            "*.npm.example:443",
            "plain.example",
            "10.0.0.2",
        ] {
            assert!(!covers(entry), "{entry}");
        }
    }

    #[test]
    fn an_entry_is_kept_in_one_form() {
        for (entry, kept) in [
            ("BÜCHER.example.", "xn--bcher-kva.example"),
            ("*.Example.com:8443", "*.example.com:8443"),
            ("[::1]:80", "[::1]:80"),
        ] {
            let pattern = Pattern::parse(entry).unwrap();
            assert_eq!(pattern.to_string(), kept);
            assert_eq!(Pattern::parse(kept).unwrap(), pattern);
        }
    }

    #[test]
    fn entries_that_cannot_be_used_are_named() {
        for entry in [
            "",
            "*",
            "a*.example.com",
            "host:0",
            "host:70000",
            "host:",
            "https://example.com",
            "*.1.2.3.4",
            "a b",
        ] {
            let error = AllowList::parse(&[entry.to_owned()])
                .unwrap_err()
                .to_string();
            assert!(error.contains(&format!("{entry:?}")), "{error}");
        }
    }
}
