//! The table of the corpus, and what the list and the names in it are.

use std::net::SocketAddr;

use super::super::super::client_hello::tests::real as hello;
use super::bench::{Bench, Turns};
use super::step::{Step, connect, get, raw, tls};

/// No machine's own range but the one address that names of the tests lead to.
pub const ALSO: &[&str] = &["127.0.0.1/32"];

pub struct Family {
    pub name: &'static str,
    pub also_allow: &'static [&'static str],
    pub steps: Vec<Step>,
}

fn family(name: &'static str, steps: Vec<Step>) -> Family {
    Family {
        name,
        also_allow: ALSO,
        steps,
    }
}

/// One list for the whole corpus; `port` is where the test listens.
pub fn allow(port: u16) -> Vec<String> {
    let mut entries = vec![format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    entries.extend(
        [
            "listed.example",
            "listed.example:8443",
            "plain.example:80",
            "resolver.example:53",
            "*.wild.example",
            "bücher.example",
            "*.inside.example",
            "rebinds.example",
            "turns.example",
            "mixed.example",
            "down.example",
            "nowhere.example",
            // By mistake.
            "169.254.169.254",
        ]
        .map(str::to_owned),
    );
    entries
}

/// Addresses that a listed name must not lead to.
const INSIDE: &[&str] = &[
    "0.0.0.0",
    "10.0.0.1",
    "100.100.100.200",
    "127.0.0.2",
    "168.63.129.16",
    "169.254.169.254",
    "172.31.255.254",
    "192.0.0.192",
    "192.168.1.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:127.0.0.2",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
];

/// What names lead to, where that is not the open address.
pub fn turns(port: u16) -> Turns {
    let at = |address: &str, port| SocketAddr::new(address.parse().unwrap(), port);
    let (open, inside) = (at("127.0.0.1", port), at("127.0.0.2", port));
    // Nothing listens there.
    let closed = at("127.0.0.1", 1);
    let mut turns = Turns::from([
        ("rebinds.example".to_owned(), vec![vec![open], vec![inside]]),
        ("turns.example".to_owned(), vec![vec![inside], vec![open]]),
        ("mixed.example".to_owned(), vec![vec![inside, open]]),
        ("down.example".to_owned(), vec![vec![closed, inside]]),
        ("nowhere.example".to_owned(), vec![vec![]]),
    ]);
    for (number, address) in INSIDE.iter().enumerate() {
        turns.insert(
            format!("n{number}.inside.example"),
            vec![vec![at(address, port)]],
        );
    }
    turns
}

/// A question to a name server over TCP.
const QUESTION: &[u8] = b"\0\x1d\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04evil\x07example\0\0\x10\0\x01";
/// The beginning of QUIC's first packet (RFC 9000, section 17.2.2).
const QUIC: &[u8] = b"\xc3\0\0\0\x01\x08\x83\x94\xc8\xf0\x3e\x51\x57\x08\0\0\x44\x9e";
const HTTP: &[u8] = b"GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n";

pub fn families(bench: &Bench) -> Vec<Family> {
    let port = bench.port;
    let here = |host: &str| connect(&format!("{host}:{port}")).then(b"SSH-2.0-x\r\n");
    let listed = || tls("listed.example:443", "listed.example");
    // A head that hyper cannot read names nobody.
    let unread = |head: String| raw(&head, "", 0).refused("malformed");

    let mut all = vec![
        family(
            "raw addresses",
            vec![
                here("127.0.0.1").passes(),
                get(&format!("http://127.0.0.1:{port}/a")).passes(),
                here("127.0.0.2").refused("address_not_listed"),
                here("127.0.0.2.").seen_as("127.0.0.2", port).refused("address_not_listed"),
                get(&format!("http://127.0.0.2:{port}/a")).refused("address_not_listed"),
                tls("127.0.0.1:443", "listed.example").refused("address_not_listed"),
                tls("93.184.215.14:443", "listed.example").refused("address_not_listed"),
                get("http://1.1.1.1/").refused("address_not_listed"),
            ],
        ),
        // What a program found in its own file is an address, and a name is looked up on this side only.
        family(
            "hosts file",
            vec![
                listed().passes(),
                here("127.0.0.2").refused("address_not_listed"),
                tls("10.96.0.1:443", "listed.example").refused("address_not_listed"),
                tls("nowhere.example:443", "nowhere.example").refused("unresolved"),
                tls("localhost:443", "localhost").refused("not_listed"),
            ],
        ),
        family(
            "own resolver over TCP",
            vec![
                connect("resolver.example:53").then(QUESTION).passes(),
                connect("8.8.8.8:53").then(QUESTION).refused("address_not_listed"),
                connect("[2001:4860:4860::8888]:53").then(QUESTION).refused("address_not_listed"),
                connect("dns.google:53").then(QUESTION).refused("not_listed"),
                connect("listed.example:53").then(QUESTION).refused("not_listed"),
                connect("resolver.example:54").then(QUESTION).refused("not_listed"),
                tls("resolver.example:853", "resolver.example").refused("not_listed"),
                tls("dns.google:853", "dns.google").refused("not_listed"),
            ],
        ),
        // `check` sees to it that such a name is not even looked up.
        family(
            "DNS tunnel",
            vec![
                tls("mzxw6ytboi.wild.example:443", "mzxw6ytboi.wild.example").passes(),
                connect("mzxw6ytboi.t.evil.example:443").refused("not_listed"),
                get("http://mzxw6ytboi.t.evil.example/").refused("not_listed"),
                connect("mzxw6ytboi.listed.example:443").refused("not_listed"),
                connect(&format!("{}.wild.example:443", "a".repeat(64))).refused("malformed"),
                connect(&format!("{}wild.example:443", "a.".repeat(130)))
                    .seen_as(&format!("{}a", "a.".repeat(126)), 443)
                    .refused("malformed"),
            ],
        ),
        family(
            "DNS over HTTPS",
            vec![
                listed().passes(),
                get("http://listed.example/dns-query?dns=AAAB").passes(),
                tls("dns.google:443", "dns.google").refused("not_listed"),
                tls("cloudflare-dns.com:443", "cloudflare-dns.com").refused("not_listed"),
                tls("1.1.1.1:443", "one.one.one.one").refused("address_not_listed"),
                tls("[2606:4700:4700::1111]:443", "one.one.one.one").refused("address_not_listed"),
                get("http://dns.google/dns-query?dns=AAAB").refused("not_listed"),
                tls("listed.example:443", "dns.google").cut("other_server_name"),
            ],
        ),
        family(
            "QUIC",
            vec![
                listed().passes(),
                connect("listed.example:443").then(QUIC).cut("not_tls"),
                connect("quic.example:443").then(QUIC).refused("not_listed"),
                // UDP through a proxy: RFC 9298, and its draft.
                raw(
                    "GET /.well-known/masque/udp/1.1.1.1/443/ HTTP/1.1\r\nhost: listed.example\r\nconnection: upgrade, close\r\nupgrade: connect-udp\r\n\r\n",
                    "",
                    0,
                )
                .refused("malformed"),
                raw(
                    "GET http://listed.example/.well-known/masque/udp/1.1.1.1/443/ HTTP/1.1\r\nhost: a\r\nconnection: upgrade, close\r\nupgrade: connect-udp\r\n\r\n",
                    "listed.example",
                    80,
                )
                .passes(),
                raw(
                    "CONNECT-UDP listed.example:443 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
                    "listed.example",
                    443,
                )
                .refused("malformed"),
            ],
        ),
        family(
            "SNI other than the CONNECT host",
            vec![
                listed().passes(),
                connect("listed.example:443").then(&shouted()).passes(),
                tls("listed.example:8443", "listed.example").passes(),
                tls("listed.example:443", "evil.example").cut("other_server_name"),
                tls("listed.example:8443", "evil.example").cut("other_server_name"),
                tls("listed.example:443", "a.listed.example").cut("other_server_name"),
                tls("listed.example:443", "example").cut("other_server_name"),
                tls("a.wild.example:443", "b.wild.example").cut("other_server_name"),
                tls("listed.example:443", "127.0.0.1").cut("no_server_name"),
                tls("listed.example:8443", "127.0.0.1").cut("no_server_name"),
                connect("listed.example:443").then(b"SSH-2.0-x\r\n").cut("not_tls"),
                connect("listed.example:443").then(&early(b"\x15\x03\x01\0\x02\x01\x5a")).cut("not_tls"),
                connect("listed.example:8443").then(&early(b"\x15\x03\x01\0\x02\x01\x5a")).cut("not_tls"),
                connect("listed.example:8443").then(&early(b"\x14\x03\x03\0\x01\x01")).cut("not_tls"),
            ],
        ),
        // `check` sees to it that what passes has one Host header, of the host that was judged.
        family(
            "Host other than the one asked for",
            vec![
                get("http://listed.example/").passes(),
                get("http://listed.example:8443/").passes(),
                connect("plain.example:80").then(HTTP).passes(),
                raw(
                    "POST http://listed.example/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n",
                    "listed.example",
                    80,
                )
                .passes(),
                raw(
                    "GET http://listed.example/ HTTP/1.1\r\nhost: a\r\nconnection: close, upgrade, http2-settings, host\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
                    "listed.example",
                    80,
                )
                .passes(),
                connect("listed.example:80").then(HTTP).refused("plain_tunnel"),
                connect("a.wild.example:80").then(HTTP).refused("plain_tunnel"),
                connect("listed.example:443").then(HTTP).cut("not_tls"),
                get("http://listed.example:443/").cut("not_tls"),
                get("http://evil.example/").refused("not_listed"),
                get("http://listed.example@evil.example/").seen_as("evil.example", 0).refused("malformed"),
                get("http://evil.example@listed.example/").seen_as("listed.example", 0).refused("malformed"),
                connect("evil.example@listed.example:443").seen_as("listed.example", 443).refused("malformed"),
                get("http://listed.example;.evil.example/").seen_as("listed.example;.evil.example", 0).refused("malformed"),
                get("https://listed.example/").seen_as("listed.example", 0).refused("malformed"),
                raw("GET / HTTP/1.1\r\nhost: listed.example\r\nconnection: close\r\n\r\n", "", 0).refused("malformed"),
                unread("GET http://listed.example\\@evil.example/ HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
                unread("CONNECT listed.example\n:443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
            ],
        ),
        family(
            "octal, hexadecimal, decimal and short addresses",
            [
                "2130706433", "017700000001", "0x7f000001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.0x0.0x0.0x1",
                "127.1", "127.0.1", "0177.1", "127.0.0.01", "127.0.0.0x1", "2130706433.", "2852039166",
                "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
            ]
            .into_iter()
            .flat_map(|host| {
                let url = format!("http://{host}:{port}/");
                [here(host).refused("unusual_address"), get(&url).refused("unusual_address")]
            })
            .chain([here("127.0.0.1").passes(), get(&format!("http://127.0.0.1:{port}/")).passes()])
            .collect(),
        ),
        family(
            "metadata",
            vec![
                get("http://listed.example/latest/meta-data/").passes(),
                get("http://169.254.169.254/latest/meta-data/").refused("special_address"),
                connect("169.254.169.254:443").refused("special_address"),
                get("http://169.254.170.2/v2/credentials").refused("address_not_listed"),
                get("http://168.63.129.16/machine").refused("address_not_listed"),
                get("http://100.100.100.200/latest/meta-data/").refused("address_not_listed"),
                get("http://[fd00:ec2::254]/latest/meta-data/").refused("address_not_listed"),
                get("http://metadata.google.internal/computeMetadata/v1/").refused("not_listed"),
            ],
        ),
        family(
            "names that lead inside",
            (0..INSIDE.len())
                .flat_map(|number| {
                    let name = format!("n{number}.inside.example");
                    let authority = format!("{name}:443");
                    let url = format!("http://{name}/");
                    [tls(&authority, &name).refused("special_address"), get(&url).refused("special_address")]
                })
                .chain([
                    tls("open.inside.example:443", "open.inside.example").passes(),
                    get("http://open.inside.example/").passes(),
                    // Only the address that is open is tried, even when it does not answer.
                    tls("mixed.example:443", "mixed.example").passes(),
                    get("http://down.example/").refused("unreachable"),
                ])
                .collect(),
        ),
        // One look-up for each request, and the connection goes to its answer.
        family(
            "names whose answer changes",
            vec![
                tls("rebinds.example:443", "rebinds.example").passes(),
                tls("rebinds.example:443", "rebinds.example").refused("special_address"),
                get("http://rebinds.example/").refused("special_address"),
                get("http://turns.example/").refused("special_address"),
                get("http://turns.example/").passes(),
            ],
        ),
        family(
            "other ports",
            ["22", "25", "81", "444", "8080", "53", "6443"]
                .map(|other| connect(&format!("listed.example:{other}")).refused("not_listed"))
                .into_iter()
                .chain([
                    listed().passes(),
                    tls("listed.example:8443", "listed.example").passes(),
                    connect("listed.example:80").refused("plain_tunnel"),
                    tls("plain.example:443", "plain.example").refused("not_listed"),
                    get("http://listed.example:8080/").refused("not_listed"),
                    connect("listed.example:0").refused("malformed"),
                    connect("listed.example").refused("malformed"),
                    connect("listed.example:65979").refused("malformed"),
                    unread("CONNECT listed.example:443:8443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
                ])
                .collect(),
        ),
        family(
            "wildcards",
            vec![
                tls("a.wild.example:443", "a.wild.example").passes(),
                tls("a.b.wild.example:443", "a.b.wild.example").passes(),
                tls("A.WILD.example:443", "a.wild.example").seen_as("a.wild.example", 443).passes(),
                connect("wild.example:443").refused("not_listed"),
                connect("evilwild.example:443").refused("not_listed"),
                connect("a.wild.example.evil.example:443").refused("not_listed"),
                connect("a.wild.evil.example:443").refused("not_listed"),
                connect("a.wild.example:22").refused("not_listed"),
                connect(".wild.example:443").refused("malformed"),
                connect("a..wild.example:443").refused("malformed"),
                connect("*.wild.example:443").refused("malformed"),
            ],
        ),
        family(
            "trailing dots",
            vec![
                tls("listed.example.:443", "listed.example").seen_as("listed.example", 443).passes(),
                get("http://listed.example./").seen_as("listed.example", 80).passes(),
                tls("a.wild.example.:443", "a.wild.example").seen_as("a.wild.example", 443).passes(),
                connect("evil.example.:443").seen_as("evil.example", 443).refused("not_listed"),
                connect("wild.example.:443").seen_as("wild.example", 443).refused("not_listed"),
                connect("listed.example..:443").refused("malformed"),
                connect(".:443").refused("malformed"),
                tls("listed.example.:443", "evil.example").seen_as("listed.example", 443).cut("other_server_name"),
            ],
        ),
        family(
            "names in other scripts",
            vec![
                tls("xn--bcher-kva.example:443", "xn--bcher-kva.example").passes(),
                tls("XN--BCHER-KVA.example:443", "xn--bcher-kva.example").seen_as("xn--bcher-kva.example", 443).passes(),
                // "listed" with a Cyrillic letter.
                connect("xn--lsted-l2e.example:443").refused("not_listed"),
                connect("bcher.example:443").refused("not_listed"),
                // Punycode of nothing but ASCII, and none at all.
                connect("xn--listed-.example:443").refused("malformed"),
                connect("xn--a.example:443").refused("malformed"),
                unread("CONNECT b\u{fc}cher.example:443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
                unread("CONNECT l\u{456}sted.example:443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
                unread("CONNECT listed\u{3002}example:443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
                unread("CONNECT \u{ff11}\u{ff12}\u{ff17}.0.0.1:443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
                unread("CONNECT listed%2eexample:443 HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
            ],
        ),
    ];
    all.push(addresses_of_the_sixth_version(bench));
    all
}

/// IPv6 and the forms in which it holds IPv4. The one that passes is this machine's own.
fn addresses_of_the_sixth_version(bench: &Bench) -> Family {
    let port = bench.port;
    let here = |host: &str| connect(&format!("{host}:{port}")).then(b"SSH-2.0-x\r\n");
    let mut steps: Vec<Step> = [
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
        ("[::ffff:7f00:1]", "[::ffff:127.0.0.1]"),
        ("[0:0:0:0:0:ffff:7f00:0001]", "[::ffff:127.0.0.1]"),
        ("[::127.0.0.1]", "[::7f00:1]"),
        ("[::]", "[::]"),
        ("[64:ff9b::7f00:1]", "[64:ff9b::7f00:1]"),
        ("[2002:7f00:1::]", "[2002:7f00:1::]"),
        ("[fe80::1]", "[fe80::1]"),
        ("[2606:4700:4700::1111]", "[2606:4700:4700::1111]"),
    ]
    .into_iter()
    .map(|(host, seen)| here(host).seen_as(seen, port).refused("address_not_listed"))
    .collect();
    steps.push(connect("[::1]:443").refused("address_not_listed"));
    steps.push(here("127.0.0.1").passes());
    if bench.v6 {
        steps.push(here("[::1]").passes_to("::1"));
        steps.push(
            here("[0:0:0:0:0:0:0:1]")
                .seen_as("[::1]", port)
                .passes_to("::1"),
        );
    }
    Family {
        name: "IPv6",
        also_allow: &["127.0.0.1/32", "::1/128"],
        steps,
    }
}

/// A hello whose server name is in capital letters.
fn shouted() -> Vec<u8> {
    let (quiet, loud) = (b"listed.example", b"LISTED.EXAMPLE");
    let mut bytes = hello("listed.example");
    let at = bytes
        .windows(quiet.len())
        .position(|window| window == quiet)
        .unwrap();
    bytes[at..at + loud.len()].copy_from_slice(loud);
    bytes
}

/// A record that TLS servers pass over, and a hello for another host behind it.
fn early(record: &[u8]) -> Vec<u8> {
    let mut bytes = record.to_vec();
    bytes.extend_from_slice(&hello("evil.example"));
    bytes
}
