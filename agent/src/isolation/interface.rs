//! Whether the container has IPv6 that leads anywhere: policies are written for IPv4 destinations, and a second family would
//! go past them.

use std::io;

use super::probe::Sighting;
use crate::wire::Observed;

const ADDRESSES: &str = "/proc/net/if_inet6";
const ROUTES: &str = "/proc/net/ipv6_route";

/// Reads the kernel's tables of this network namespace.
pub fn look() -> Sighting {
    match (read(ADDRESSES), read(ROUTES)) {
        (Ok(addresses), Ok(routes)) => judge(&addresses, &routes),
        (Err(error), _) => Sighting::new(
            Observed::Unknown,
            format!("cannot read {ADDRESSES}: {error}"),
        ),
        (_, Err(error)) => {
            Sighting::new(Observed::Unknown, format!("cannot read {ROUTES}: {error}"))
        }
    }
}

fn read(path: &str) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        // The kernel has no IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

fn judge(addresses: &str, routes: &str) -> Sighting {
    for line in addresses.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // Address, interface index, prefix length, scope, flags, name; in hexadecimal.
        let [address, _, _, scope, _, name] = fields.as_slice() else {
            return unknown(ADDRESSES, line);
        };
        // 10 is the host's own (loopback), 20 the link's own, which no router forwards.
        if !matches!(*scope, "10" | "20") {
            return Sighting::new(
                Observed::Reachable,
                format!("{name} has the IPv6 address {address}"),
            );
        }
    }
    for line in routes.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // Destination, prefix length, source, its length, next hop, metric, references, uses, flags, name.
        let [destination, length, _, _, _, _, _, _, _, name] = fields.as_slice() else {
            return unknown(ROUTES, line);
        };
        let default = *length == "00" && destination.bytes().all(|digit| digit == b'0');
        // The kernel always has one that rejects, on the loopback.
        if default && *name != "lo" {
            return Sighting::new(
                Observed::Reachable,
                format!("{name} has a default route for IPv6"),
            );
        }
    }
    Sighting::new(Observed::Blocked, "no IPv6 that leads out")
}

fn unknown(path: &str, line: &str) -> Sighting {
    Sighting::new(
        Observed::Unknown,
        format!("{path} has a line that is not understood: {line:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "00000000000000000000000000000001 01 80 10 80       lo\n";
    const LINK: &str = "fe80000000000000d8a1e5fffe5e0001 02 40 20 80     eth0\n";
    const GLOBAL: &str = "20010db8000000000000000000000001 02 40 00 80     eth0\n";
    const UNIQUE_LOCAL: &str = "fd000000000000000000000000000001 02 40 00 80     eth0\n";
    const REJECT: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n";
    const DEFAULT: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0\n";
    const TO_LINK: &str = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n";

    #[test]
    fn ipv6_that_leads_out_is_seen() {
        for (addresses, routes, observed) in [
            (String::new(), String::new(), Observed::Blocked),
            (
                LOOPBACK.to_owned() + LINK,
                REJECT.to_owned() + TO_LINK,
                Observed::Blocked,
            ),
            (
                LOOPBACK.to_owned() + GLOBAL,
                REJECT.to_owned(),
                Observed::Reachable,
            ),
            (
                LOOPBACK.to_owned() + UNIQUE_LOCAL,
                String::new(),
                Observed::Reachable,
            ),
            (
                LOOPBACK.to_owned(),
                REJECT.to_owned() + DEFAULT,
                Observed::Reachable,
            ),
            (
                "something else\n".to_owned(),
                String::new(),
                Observed::Unknown,
            ),
            (
                String::new(),
                "something else\n".to_owned(),
                Observed::Unknown,
            ),
        ] {
            let seen = judge(&addresses, &routes);
            assert_eq!(
                seen.observed, observed,
                "{addresses}{routes}{}",
                seen.detail
            );
        }
    }

    #[test]
    fn this_machine_is_understood() {
        assert_ne!(look().observed, Observed::Unknown, "{}", look().detail);
    }
}
