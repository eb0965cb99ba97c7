//! The host of a request, in the one form in which it is compared. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host: a name in lower case and punycode without a final dot, or a literal address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name.
    Name(String),
    /// An address that was written as such.
    Address(IpAddr),
}

/// Text that is no host, or one in a form that is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostError {
    /// Not a host name.
    Malformed,
    /// An IPv4 address in octal, hexadecimal, with few parts or as one number.
    UnusualAddress,
}

impl Host {
    /// Reads a host as it stands in a request or in the settings.
    ///
    /// # Errors
    /// [`HostError::UnusualAddress`] for what other programs would read as an IPv4 address although it is not four
    /// decimal numbers; [`HostError::Malformed`] for everything else that cannot be a host.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if let Some(inside) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let address: Ipv6Addr = inside.parse().map_err(|_| HostError::Malformed)?;
            return Ok(Self::Address(IpAddr::V6(address)));
        }
        // The WHATWG parser would decode percent signs; a proxy's client has no reason to send them.
        if text.is_empty()
            || text.contains(['%', ':', '@', '/', '\\', '?', '#', ' '])
            || text.chars().any(char::is_control)
        {
            return Err(HostError::Malformed);
        }
        let bare = text.strip_suffix('.').unwrap_or(text);
        match url::Host::parse(bare).map_err(|_| HostError::Malformed)? {
            url::Host::Ipv4(address) => match bare.parse::<Ipv4Addr>() {
                Ok(same) if same == address => Ok(Self::Address(IpAddr::V4(address))),
                _ => Err(HostError::UnusualAddress),
            },
            url::Host::Ipv6(_) => Err(HostError::Malformed),
            url::Host::Domain(name) => Self::name(name),
        }
    }

    fn name(name: String) -> Result<Self, HostError> {
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(HostError::Malformed);
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where a container wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The host, in its one form.
    pub host: Host,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_form() {
        for text in ["Example.COM", "example.com.", "EXAMPLE.com"] {
            assert_eq!(Host::parse(text).unwrap().to_string(), "example.com");
        }
        assert_eq!(
            Host::parse("bücher.example").unwrap().to_string(),
            "xn--bcher-kva.example"
        );
        // Full-width letters and dots map to plain ones before they are compared.
        assert_eq!(
            Host::parse("ｅｘａｍｐｌｅ。com").unwrap().to_string(),
            "example.com"
        );
        assert_eq!(Host::parse("[::1]").unwrap().to_string(), "[::1]");
        assert_eq!(Host::parse("127.0.0.1").unwrap().to_string(), "127.0.0.1");
    }

    #[test]
    fn unusual_addresses_are_not_names() {
        for text in [
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0x7f.1",
            "127.0.0.01",
            "１２７.1",
        ] {
            assert_eq!(Host::parse(text), Err(HostError::UnusualAddress), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = format!("{}.com", "a".repeat(64));
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "a b",
            "user@host",
            "host:1",
            "ex%61mple.com",
            "a/b",
            "a\\b",
            "a\r\nb",
            "a\0b",
            "[::1",
            "[fe80::1%eth0]",
            "256.256.256.256",
            "1.2.3.4.5",
            "example.com..",
            &long,
        ] {
            assert!(Host::parse(text).is_err(), "{text:?}");
        }
    }
}
