//! Special-purpose addresses: ranges that a public name has no business resolving to. Pure.
//!
//! From the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its updates), multicast, reserved
//! space, and addresses where clouds answer with credentials. IPv6 outside of the global unicast space (2000::/3) is
//! refused as a whole, so that a range that is assigned later is not open by default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const V4: &[([u8; 4], u8, &str)] = &[
    ([0, 0, 0, 0], 8, "this network"),
    ([10, 0, 0, 0], 8, "private"),
    ([100, 64, 0, 0], 10, "carrier-grade NAT"),
    ([127, 0, 0, 0], 8, "loopback"),
    // Cloud metadata at 169.254.169.254 among others.
    ([169, 254, 0, 0], 16, "link-local"),
    // Where Azure's machines find their host agent; public by its number only.
    ([168, 63, 129, 16], 32, "cloud metadata"),
    ([172, 16, 0, 0], 12, "private"),
    ([192, 0, 0, 0], 24, "protocol assignments"),
    ([192, 0, 2, 0], 24, "documentation"),
    ([192, 31, 196, 0], 24, "AS112"),
    ([192, 52, 193, 0], 24, "AMT"),
    ([192, 88, 99, 0], 24, "6to4 relay"),
    ([192, 168, 0, 0], 16, "private"),
    ([192, 175, 48, 0], 24, "AS112"),
    ([198, 18, 0, 0], 15, "benchmarking"),
    ([198, 51, 100, 0], 24, "documentation"),
    ([203, 0, 113, 0], 24, "documentation"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

const V6: &[([u16; 8], u8, &str)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, "IPv4-compatible"),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64"),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "NAT64"),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard-only"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "protocol assignments"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation"),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4"),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, "AS112"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "private"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

/// The kind of special-purpose range that `address` is in, unless `also_allow` has it. An IPv6 form of an IPv4 address
/// is allowed by IPv6 ranges only.
pub fn special(address: IpAddr, also_allow: &[IpNet]) -> Option<&'static str> {
    if also_allow.iter().any(|range| range.contains(&address)) {
        return None;
    }
    match address {
        IpAddr::V4(address) => V4
            .iter()
            .find(|(range, bits, _)| {
                Ipv4Net::new(Ipv4Addr::from(*range), *bits)
                    .is_ok_and(|range| range.contains(&address))
            })
            .map(|(_, _, kind)| *kind),
        IpAddr::V6(address) => V6
            .iter()
            .find(|(range, bits, _)| {
                Ipv6Net::new(Ipv6Addr::from(*range), *bits)
                    .is_ok_and(|range| range.contains(&address))
            })
            .map(|(_, _, kind)| *kind)
            .or_else(|| {
                (address
                    .segments()
                    .first()
                    .is_none_or(|first| first >> 13 != 1))
                .then_some("reserved")
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_ranges_are_known() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
            "e000::1",
        ] {
            assert!(special(text.parse().unwrap(), &[]).is_some(), "{text}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1",
            "2a00:1450:4001::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2620:4f:8001::1",
        ] {
            assert_eq!(special(text.parse().unwrap(), &[]), None, "{text}");
        }
    }

    #[test]
    fn also_allow_opens_what_it_names_and_nothing_else() {
        let also: Vec<IpNet> = vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.20.0.0/16".parse().unwrap(),
        ];
        assert_eq!(special("127.0.0.1".parse().unwrap(), &also), None);
        assert_eq!(special("10.20.3.4".parse().unwrap(), &also), None);
        for text in [
            "10.21.0.1",
            "::ffff:127.0.0.1",
            "::1",
            "::ffff:10.20.3.4",
            "64:ff9b::7f00:1",
        ] {
            assert!(special(text.parse().unwrap(), &also).is_some(), "{text}");
        }
    }
}
