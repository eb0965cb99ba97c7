//! The proxy against real servers on loopback, and everything that must not pass.

#![expect(
    clippy::disallowed_methods,
    reason = "tasks of a test end with its runtime"
)]

mod corpus;
mod rules;
mod tls;
mod upstream;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::dial::Resolver;
use super::known::Lists;
use super::{Egress, Verdict};
use crate::config::EgressConfig;
use crate::features::containers::Identity;
use crate::kernel::{Clock, ContainerId, Rng, UserId, WorkspaceId};
use crate::shared::Recent;

fn who() -> Identity {
    let clock = Clock::fixed(1);
    Identity {
        workspace: WorkspaceId::new(&clock, &Rng),
        container: ContainerId::new(&clock, &Rng),
        owner: UserId::new(&clock, &Rng),
    }
}

fn egress(allow: &[String], also_allow: &[&str], names: &[(&str, &str)]) -> Egress {
    let config = EgressConfig {
        allow: allow.to_vec(),
        also_allow: also_allow
            .iter()
            .map(|range| range.parse().unwrap())
            .collect(),
        connect_timeout_ms: 2_000,
        ..EgressConfig::default()
    };
    let mut table: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for (name, address) in names {
        table
            .entry((*name).to_owned())
            .or_default()
            .push(address.parse().unwrap());
    }
    let resolver = if names.is_empty() {
        Resolver::System
    } else {
        Resolver::Test(Box::new(move |name, port| {
            let addresses = table.get(name).into_iter().flatten();
            addresses
                .map(|&address| SocketAddr::new(address, port))
                .collect()
        }))
    };
    let parts = (resolver, Lists::Test(Arc::default()));
    Egress::with(
        &config,
        Clock::fixed(7),
        TaskTracker::new(),
        Recent::alone(),
        parts,
    )
    .unwrap()
}

/// A connection from the container's agent.
fn open(egress: &Egress, who: Identity) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let egress = egress.clone();
    tokio::spawn(async move { egress.serve(who, far).await });
    near
}

async fn all(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes))
        .await
        .expect("an end");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks once; an end of the client's side would mean to hyper that the client is gone.
async fn ask(egress: &Egress, request: &str) -> String {
    let mut stream = open(egress, who());
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    stream.write_all(request.as_bytes()).await.unwrap();
    all(&mut stream).await
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

/// A plain HTTP server that answers with the request as it saw it, and counts its connections.
async fn echo() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let seen = head(&mut stream).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{seen}",
                    seen.len()
                );
                stream.write_all(answer.as_bytes()).await
            });
        }
    });
    (port, count)
}

#[tokio::test]
async fn plain_requests_pass_and_each_is_judged() {
    let (port, count) = echo().await;
    let egress = egress(
        &[format!("localhost:{port}")],
        &["127.0.0.0/8", "::1/128"],
        &[],
    );
    let who = who();
    let mut stream = open(&egress, who);
    // The Host header lies, and headers of the connection are not the destination's business.
    let request = format!(
        "GET http://LOCALHOST:{port}/a?b=c HTTP/1.1\r\nhost: evil.example\r\nproxy-authorization: Basic x\r\nconnection: x-mine\r\nx-mine: 1\r\nx-other: 2\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let seen = head(&mut stream).await;
    assert!(seen.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains(&format!("host: localhost:{port}\r\n")) && seen.contains("x-other: 2"),
        "{seen}"
    );
    assert!(
        !seen.contains("evil.example") && !seen.contains("proxy-auth") && !seen.contains("x-mine"),
        "{seen}"
    );
    // The same connection, another host: judged again.
    stream
        .write_all(b"GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let answer = head(&mut stream).await;
    assert!(
        answer.starts_with(
            "HTTP/1.1 403 OptiDev egress: evil.example:80 is not on the allow-list of this installation. Ask its operator"
        ),
        "{answer}"
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let decisions = egress.decided_here(who.container);
    let words: Vec<_> = decisions
        .iter()
        .map(|one| (one.host.as_str(), one.verdict, one.reason.as_ref()))
        .collect();
    assert_eq!(
        words,
        [
            ("evil.example", Verdict::Refused, "not_listed"),
            ("localhost", Verdict::Allowed, "listed")
        ]
    );
    assert!(egress.decided_here(self::who().container).is_empty());
}

#[tokio::test]
async fn a_body_passes_in_both_directions() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = head(&mut stream).await;
        let mut body = [0u8; 5];
        stream.read_exact(&mut body).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n")
            .await
            .unwrap();
        stream.write_all(&body).await.unwrap();
        stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
    });
    let egress = egress(&[format!("127.0.0.1:{port}")], &["127.0.0.0/8"], &[]);
    let request = format!(
        "POST http://127.0.0.1:{port}/ HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    );
    let answer = ask(&egress, &request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("hello"),
        "{answer}"
    );
}

#[tokio::test]
async fn what_is_not_listed_is_refused_without_a_connection() {
    let (port, count) = echo().await;
    let allow = [
        format!("localhost:{port}"),
        format!("public.example:{port}"),
        format!("mixed.example:{port}"),
    ];
    let names = [
        ("localhost", "127.0.0.1"),
        ("public.example", "127.0.0.1"),
        ("mixed.example", "::ffff:127.0.0.1"),
        ("mixed.example", "169.254.169.254"),
    ];
    let egress = egress(&allow, &[], &names);
    for (request, status, words) in [
        (
            format!("CONNECT evil.example:{port}"),
            403,
            "not on the allow-list",
        ),
        (
            format!("CONNECT localhost:{}", port.wrapping_add(1).max(1)),
            403,
            "not on the allow-list",
        ),
        (format!("CONNECT 127.0.0.1:{port}"), 403, "is an address"),
        (
            format!("CONNECT [::ffff:127.0.0.1]:{port}"),
            403,
            "is an address",
        ),
        (format!("CONNECT [::1]:{port}"), 403, "is an address"),
        (format!("CONNECT 2130706433:{port}"), 403, "unusual form"),
        (format!("CONNECT 0x7f.0.0.1:{port}"), 403, "unusual form"),
        (format!("CONNECT 0177.0.0.1:{port}"), 403, "unusual form"),
        (format!("CONNECT 127.1:{port}"), 403, "unusual form"),
        (format!("CONNECT localhost:{port}"), 403, "(loopback)"),
        (format!("CONNECT LOCALHOST.:{port}"), 403, "(loopback)"),
        (format!("CONNECT public.example:{port}"), 403, "(loopback)"),
        (
            format!("CONNECT mixed.example:{port}"),
            403,
            "(IPv4-mapped)",
        ),
        (format!("CONNECT user@localhost:{port}"), 400, "user name"),
        ("CONNECT localhost".to_owned(), 400, ""),
        ("CONNECT localhost:0".to_owned(), 400, "port 0"),
        ("CONNECT localhost:99999".to_owned(), 400, ""),
        ("CONNECT loc%61lhost:443".to_owned(), 400, ""),
        ("CONNECT :443".to_owned(), 400, ""),
        (format!("GET http://localhost:{port}/"), 403, "(loopback)"),
        (
            format!("GET http://user:pass@localhost:{port}/"),
            400,
            "user name",
        ),
        (format!("GET https://localhost:{port}/"), 400, "only http"),
        (format!("GET ftp://localhost:{port}/"), 400, "only http"),
        ("GET /etc/passwd".to_owned(), 400, "names no host"),
        (
            "GET http://169.254.169.254/latest/meta-data".to_owned(),
            403,
            "is an address",
        ),
    ] {
        let answer = ask(
            &egress,
            &format!("{request} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n"),
        )
        .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(answer.contains(words), "{request}: {answer}");
    }
    assert_eq!(
        count.load(Ordering::SeqCst),
        0,
        "nothing may have been connected to"
    );
}

#[tokio::test]
async fn plain_http_passes_no_tunnel_that_is_not_listed_as_one() {
    // Its name leads nowhere, so what is let through is told apart by the next answer.
    let egress = egress(
        &["shared.example".to_owned(), "tunnel.example:80".to_owned()],
        &[],
        &[("other.example", "127.0.0.1")],
    );
    let who = who();
    for (request, status, words) in [
        (
            "CONNECT shared.example:80",
            403,
            "no tunnel (CONNECT) is opened to shared.example:80",
        ),
        (
            "CONNECT SHARED.example.:80",
            403,
            "plain HTTP passes as requests to the proxy",
        ),
        ("CONNECT shared.example:443", 502, "cannot be resolved"),
        ("CONNECT tunnel.example:80", 502, "cannot be resolved"),
        ("GET http://shared.example/", 502, "cannot be resolved"),
    ] {
        let mut stream = open(&egress, who);
        let request =
            format!("{request} HTTP/1.1\r\nhost: shared.example\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = all(&mut stream).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(words),
            "{request}: {answer}"
        );
    }
    let reasons: Vec<_> = egress
        .decided_here(who.container)
        .into_iter()
        .map(|one| one.reason)
        .collect();
    assert_eq!(
        reasons,
        [
            "unresolved",
            "unresolved",
            "unresolved",
            "plain_tunnel",
            "plain_tunnel"
        ]
    );
}

#[tokio::test]
async fn bad_heads_end_in_4xx() {
    let (port, count) = echo().await;
    let egress = egress(
        &[format!("localhost:{port}")],
        &["127.0.0.0/8"],
        &[("localhost", "127.0.0.1")],
    );
    let huge = format!(
        "GET http://localhost:{port}/ HTTP/1.1\r\nx: {}\r\n\r\n",
        "a".repeat(256 * 1024)
    );
    let crlf = format!("CONNECT evil.example\r\nx: localhost:{port} HTTP/1.1\r\n\r\n");
    let bare = format!("CONNECT evil.example\nlocalhost:{port} HTTP/1.1\r\n\r\n");
    for request in [
        huge.as_str(),
        &crlf,
        &bare,
        "\0\0\0\0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = open(&egress, who());
        // The answer may come before all of the request was taken.
        let _ = tokio::time::timeout(
            Duration::from_millis(500),
            stream.write_all(request.as_bytes()),
        )
        .await;
        let _ = stream.shutdown().await;
        let answer = all(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn on_other_ports_the_server_may_speak_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 ready\r\n\r\n").await.unwrap();
        let mut bytes = [0u8; 4];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    let egress = egress(&[format!("127.0.0.1:{port}")], &["127.0.0.0/8"], &[]);
    let mut stream = open(&egress, who());
    stream
        .write_all(format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(head(&mut stream).await, "220 ready\r\n\r\n");
    // One byte first: what does not begin like TLS is let through at once.
    for byte in b"EHLO" {
        stream.write_all(&[*byte]).await.unwrap();
        stream.flush().await.unwrap();
    }
    assert_eq!(all(&mut stream).await, "EHLO");
}

#[tokio::test]
async fn unreachable_and_unknown_names_say_so() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let allow = [
        format!("down.example:{free}"),
        format!("gone.example:{free}"),
    ];
    let egress = egress(&allow, &["127.0.0.0/8"], &[("down.example", "127.0.0.1")]);
    let answer = ask(
        &egress,
        &format!("CONNECT down.example:{free} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("does not answer"),
        "{answer}"
    );
    let answer = ask(
        &egress,
        &format!("CONNECT gone.example:{free} HTTP/1.1\r\nhost: x\r\n\r\n"),
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("cannot be resolved"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_container_has_so_many_connections_and_no_more() {
    let egress = egress(&[], &[], &[]);
    let one = who();
    let mut held = Vec::new();
    for _ in 0..512 {
        let mut stream = open(&egress, one);
        // Its answer shows that it has its place; it stays open for the next request.
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 400"));
        held.push(stream);
    }
    let mut stream = open(&egress, one);
    stream
        .write_all(b"CONNECT a:1 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    let answer = all(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 OptiDev egress: this container has 512"),
        "{answer}"
    );
    // Another container is not affected, and neither is this one when connections end.
    assert!(
        ask(&egress, "CONNECT a:1 HTTP/1.1\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 403")
    );
    held.clear();
    // The proxy notices the ends one after the other.
    let again = async {
        loop {
            let mut stream = open(&egress, one);
            stream
                .write_all(b"CONNECT a:1 HTTP/1.1\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            if all(&mut stream).await.starts_with("HTTP/1.1 403") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again)
        .await
        .expect("places become free");
}
