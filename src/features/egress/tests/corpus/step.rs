//! A step of the corpus: what a container sends, and what has to become of it.

use std::net::IpAddr;

use serde_json::json;

use super::super::super::Verdict;
use super::super::super::client_hello::tests::real as hello;
use super::bench::Outcome;

/// What a tunnel ends with when its first bytes are not what was asked for.
const ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];
/// The one address that names may lead to.
const OPEN: &str = "127.0.0.1";

pub struct Step {
    pub bytes: Vec<u8>,
    pub end: End,
    /// As the decision has them.
    host: String,
    port: u16,
}

pub enum End {
    /// What follows the head arrives at this address: all of it, or a request with the right Host header.
    Passes(IpAddr, Vec<u8>),
    /// Nothing is connected to.
    Refused(&'static str),
    /// A connection is made to the host that was asked for, and nothing arrives there.
    Cut(&'static str),
}

/// What a container sends.
pub struct Ask {
    head: String,
    then: Vec<u8>,
    host: String,
    port: u16,
}

pub fn raw(head: &str, host: &str, port: u16) -> Ask {
    let (head, host) = (head.to_owned(), host.to_owned());
    Ask {
        head,
        then: Vec::new(),
        host,
        port,
    }
}

pub fn connect(authority: &str) -> Ask {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "0"));
    let head = format!(
        "CONNECT {authority} HTTP/1.1\r\nhost: listed.example:443\r\nconnection: close\r\n\r\n"
    );
    raw(&head, host, port.parse().unwrap_or(0))
}

/// With a Host header that is a lie.
pub fn get(url: &str) -> Ask {
    let authority = url.split('/').nth(2).unwrap();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(0)),
        _ => (authority, 80),
    };
    let head = format!(
        "GET {url} HTTP/1.1\r\nhost: evil.example\r\nHost: evil.example\r\nconnection: close\r\n\r\n"
    );
    raw(&head, host, port)
}

/// A tunnel in which TLS for `server_name` begins.
pub fn tls(authority: &str, server_name: &str) -> Ask {
    connect(authority).then(&hello(server_name))
}

impl Ask {
    pub fn then(mut self, bytes: &[u8]) -> Self {
        self.then = bytes.to_vec();
        self
    }

    /// The host and port in the decision, where they differ from what is written.
    pub fn seen_as(mut self, host: &str, port: u16) -> Self {
        self.host = host.to_owned();
        self.port = port;
        self
    }

    fn end(self, end: End) -> Step {
        let mut bytes = self.head.into_bytes();
        bytes.extend_from_slice(&self.then);
        let (host, port) = (self.host, self.port);
        Step {
            bytes,
            end,
            host,
            port,
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        self.passes().bytes
    }

    pub fn passes(self) -> Step {
        self.passes_to(OPEN)
    }

    pub fn passes_to(self, address: &str) -> Step {
        let end = End::Passes(address.parse().unwrap(), self.then.clone());
        self.end(end)
    }

    pub fn refused(self, reason: &'static str) -> Step {
        self.end(End::Refused(reason))
    }

    pub fn cut(self, reason: &'static str) -> Step {
        self.end(End::Cut(reason))
    }
}

/// Status and words of a refusal.
fn said(reason: &str) -> (u16, &'static str) {
    match reason {
        "not_listed" => (403, "is not on the allow-list of this installation"),
        "address_not_listed" => (403, "is an address, and addresses are refused"),
        "plain_tunnel" => (403, "no tunnel (CONNECT) is opened"),
        "unusual_address" => (403, "an address in an unusual form"),
        "special_address" => (403, "where containers may not connect"),
        "not_tls" => (403, "only TLS may go to"),
        "no_server_name" => (403, "names no server (SNI)"),
        "other_server_name" => (403, "is for another server"),
        "malformed" => (400, "OptiDev egress: "),
        "unresolved" => (502, "cannot be resolved"),
        "unreachable" => (502, "does not answer"),
        // Nobody is there to be answered.
        "given_up" => (0, "was given up before it was made"),
        other => panic!("{other}"),
    }
}

/// All that has to be so after the step.
pub fn check(name: &str, step: &Step, outcome: &Outcome) {
    answered(name, step, outcome);
    arrived(name, step, outcome);
    recorded(name, step, outcome);
}

fn answered(name: &str, step: &Step, outcome: &Outcome) {
    let answer = String::from_utf8_lossy(&outcome.answer);
    let status = |number: u16| answer.starts_with(&format!("HTTP/1.1 {number} "));
    let tunnel = step.bytes.starts_with(b"CONNECT ");
    match &step.end {
        End::Passes(_, then) => {
            assert!(status(200), "{name}: {answer}");
            let back = outcome.answer.ends_with(then) || answer.ends_with("\r\n\r\nok");
            assert!(back, "{name}: {answer}");
        }
        End::Refused(reason) => {
            let (number, words) = said(reason);
            assert!(status(number), "{name}: {answer}");
            // What hyper cannot read it answers by itself.
            let known = answer.contains(words) || answer.starts_with("HTTP/1.1 400 Bad Request");
            assert!(known, "{name}: {answer}");
        }
        End::Cut(_) if tunnel => {
            assert!(status(200), "{name}: {answer}");
            assert!(outcome.answer.ends_with(&ALERT), "{name}: {answer}");
        }
        End::Cut(reason) => {
            let (number, words) = said(reason);
            assert!(status(number) && answer.contains(words), "{name}: {answer}");
        }
    }
}

/// What was connected to, what came through, and what was looked up.
pub fn arrived(name: &str, step: &Step, outcome: &Outcome) {
    match (&step.end, outcome.arrivals.as_slice()) {
        (End::Passes(address, then), [(to, bytes)]) => {
            assert_eq!(to, address, "{name}");
            if step.bytes.starts_with(b"CONNECT ") {
                assert_eq!(bytes, then, "{name}");
            } else {
                honest(name, step, bytes);
            }
        }
        (End::Cut(_), [(to, bytes)]) => {
            assert_eq!(to, &OPEN.parse::<IpAddr>().unwrap(), "{name}");
            assert!(bytes.is_empty(), "{name}: {}", bytes.escape_ascii());
        }
        (End::Refused(reason), []) => {
            // A name that is looked up has left: that alone would be a tunnel.
            let looked_up = ["special_address", "unresolved", "unreachable", "given_up"];
            let silent = outcome.lookups.is_empty() || looked_up.contains(reason);
            assert!(silent, "{name}: {:?} was looked up", outcome.lookups);
        }
        (_, arrivals) => panic!("{name}: {arrivals:?}"),
    }
}

/// The decision that the owner sees, and the line of the log.
pub fn recorded(name: &str, step: &Step, outcome: &Outcome) {
    let (verdict, word, reason, words) = match &step.end {
        End::Passes(..) => (Verdict::Allowed, "allowed", "listed", None),
        End::Refused(reason) | End::Cut(reason) => {
            let words = Some(said(reason).1);
            (Verdict::Refused, "refused", *reason, words)
        }
    };
    let [decision] = outcome.decisions.as_slice() else {
        panic!("{name}: {:?}", outcome.decisions);
    };
    let seen = (decision.host.as_str(), decision.port);
    assert_eq!(seen, (step.host.as_str(), step.port), "{name}");
    let seen = (decision.verdict, decision.reason.as_ref());
    assert_eq!(seen, (verdict, reason), "{name}");
    match (&decision.message, words) {
        (None, None) => {}
        (Some(message), Some(words)) => assert!(message.contains(words), "{name}: {message}"),
        other => panic!("{name}: {other:?}"),
    }
    let [line] = outcome.lines.as_slice() else {
        panic!("{name}: {:?}", outcome.lines);
    };
    for (key, value) in [
        ("workspace", json!(outcome.who.workspace.to_string())),
        ("container", json!(outcome.who.container.to_string())),
        ("host", json!(step.host)),
        ("port", json!(step.port)),
        ("verdict", json!(word)),
        ("reason", json!(reason)),
    ] {
        assert_eq!(line[key], value, "{name}: {key} in {line}");
    }
}

/// The request as it arrived is for the host that was judged, and is nothing but one request.
fn honest(name: &str, step: &Step, arrived: &[u8]) {
    let text = String::from_utf8_lossy(arrived).to_lowercase();
    let host = match step.port {
        80 => format!("host: {}", step.host),
        port => format!("host: {}:{port}", step.host),
    };
    let hosts: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("host:"))
        .collect();
    assert_eq!(hosts, [host], "{name}: {text}");
    for word in ["evil", "upgrade", "http2-settings", "proxy-"] {
        assert!(!text.contains(word), "{name}: {text}");
    }
}
