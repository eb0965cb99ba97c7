//! A proxy of the company behind ours: a right one, and some that are not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::super::Egress;
use super::super::dial::Resolver;
use super::super::judge::Rules;
use super::super::known::Lists;
use super::super::policy::AllowList;
use super::{all, ask, echo, head, open, who};
use crate::config::EgressConfig;
use crate::kernel::Clock;
use crate::shared::Recent;

/// What a proxy does after it read the head of a request.
#[derive(Clone)]
enum Manner {
    /// Connects to this port of this machine, whatever it is asked for.
    To(u16),
    /// Says this, and then nothing.
    Says(Vec<u8>),
    /// Says this, again and again.
    Floods(Vec<u8>),
    /// Closes the connection.
    Closes,
}

struct Corporate {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Corporate {
    async fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, manner) = (Arc::clone(&log), manner.clone());
                tokio::spawn(async move { serve(stream, &log, manner).await });
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, manner: Manner) {
    let request = head(&mut stream).await;
    log.lock().unwrap().push(request);
    match manner {
        Manner::To(port) => {
            let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            // A byte at a time, as a slow network might.
            for byte in b"HTTP/1.1 200 Connection established\r\nvia: 1.1 corp\r\n\r\n" {
                stream.write_all(&[*byte]).await.unwrap();
                stream.flush().await.unwrap();
            }
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
        }
        Manner::Says(words) => {
            let _ = stream.write_all(&words).await;
            let _ = stream.read(&mut [0; 64]).await;
            std::future::pending::<()>().await;
        }
        Manner::Floods(words) => while stream.write_all(&words).await.is_ok() {},
        Manner::Closes => {}
    }
}

/// A proxy of ours behind which is a company's at `port`; nothing can be resolved here.
fn egress(port: u16, allow: &[&str], change: impl FnOnce(&mut EgressConfig)) -> Egress {
    let mut config = EgressConfig {
        allow: allow.iter().map(|&host| host.to_owned()).collect(),
        upstream_proxy: format!("http://127.0.0.1:{port}").as_str().into(),
        connect_timeout_ms: 1_000,
        ..EgressConfig::default()
    };
    change(&mut config);
    let rules = Rules {
        additions: Some(AllowList::parse(&["added.example".to_owned()]).unwrap()),
        ceiling: None,
    };
    let parts = (
        Resolver::Test(Box::new(|name, port| match name {
            "direct.example" => vec![SocketAddr::from(([127, 0, 0, 1], port))],
            _ => Vec::new(),
        })),
        Lists::Test(Arc::new(rules)),
    );
    let (clock, tasks) = (Clock::fixed(7), TaskTracker::new());
    Egress::with(&config, clock, tasks, Recent::alone(), parts).unwrap()
}

fn get(host: &str) -> String {
    format!("GET http://{host}/ HTTP/1.1\r\nhost: x\r\nproxy-authorization: Basic bWluZQ==\r\n\r\n")
}

#[tokio::test]
async fn what_is_let_through_goes_to_the_proxy_and_nothing_else_does() {
    let (port, _) = echo().await;
    let corporate = Corporate::new(Manner::To(port)).await;
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "pass:word\n").unwrap();
    let direct = format!("direct.example:{port}");
    let allow = ["in.example", &direct, "10.0.0.1", "1.1.1.1"];
    let egress = egress(corporate.port, &allow, |config| {
        config.upstream_proxy_user = "optidev".to_owned();
        config.upstream_proxy_password_file = Some(password);
        config.upstream_proxy_except = vec![direct.clone()];
        config.also_allow = vec!["127.0.0.0/8".parse().unwrap()];
    });
    for host in ["in.example", "1.1.1.1"] {
        let answer = ask(&egress, &get(host)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("GET / HTTP/1.1\r\n"), "{answer}");
        // The proxy's password is not the destination's business, nor the client's one the proxy's.
        assert!(!answer.to_lowercase().contains("proxy-auth"), "{answer}");
    }
    let expected = |host: &str| {
        format!(
            "CONNECT {host}:80 HTTP/1.1\r\nHost: {host}:80\r\nProxy-Authorization: Basic b3B0aWRldjpwYXNzOndvcmQ=\r\n\r\n"
        )
    };
    assert_eq!(
        corporate.asked(),
        [expected("in.example"), expected("1.1.1.1")]
    );
    // Directly, with the check of the address.
    let answer = ask(&egress, &get(&direct)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut wrong = Vec::new();
    for (host, words) in [
        ("out.example", "is not on the allow-list"),
        ("10.0.0.1", "where containers may not connect"),
        ("added.example", "cannot check where it leads"),
    ] {
        let answer = ask(&egress, &get(host)).await;
        if !answer.starts_with("HTTP/1.1 403") || !answer.contains(words) {
            wrong.push((host, answer));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(corporate.asked().len(), 2);
}

#[tokio::test]
async fn what_comes_behind_the_proxy_s_head_is_not_lost() {
    let words = b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-first\r\n".to_vec();
    let corporate = Corporate::new(Manner::Says(words)).await;
    let egress = egress(corporate.port, &["git.example:22"], |_| {});
    let mut stream = open(&egress, who());
    stream
        .write_all(b"CONNECT git.example:22 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let mut first = [0; 15];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"SSH-2.0-first\r\n");
}

#[tokio::test]
async fn tls_is_judged_before_anything_goes_through_the_proxy() {
    let words = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let corporate = Corporate::new(Manner::Says(words)).await;
    let egress = egress(corporate.port, &["in.example"], |_| {});
    let who = who();
    let mut stream = open(&egress, who);
    stream
        .write_all(b"CONNECT in.example:443 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    let hello = super::super::client_hello::tests::real("out.example");
    stream.write_all(&hello).await.unwrap();
    all(&mut stream).await;
    let reasons: Vec<String> = egress
        .decided_here(who.container)
        .into_iter()
        .map(|one| one.reason.into_owned())
        .collect();
    assert_eq!(reasons, ["other_server_name"]);
}

#[tokio::test]
async fn a_proxy_that_says_no_is_told_of_and_one_that_lies_costs_a_second() {
    let says = |words: &str| Manner::Says(words.as_bytes().to_vec());
    for (manner, words) in [
        (
            says("HTTP/1.1 403 <b>Evil reason</b>\r\ncontent-length: 1\r\n\r\nx"),
            "refuses it with the status 403",
        ),
        (says("HTTP/1.1 407 P\r\n\r\n"), "the status 407"),
        (
            says("HTTP/1.1 302 F\r\nlocation: http://a/\r\n\r\n"),
            "the status 302",
        ),
        (says("HTTP/1.1 100 Continue\r\n\r\n"), "the status 100"),
        (
            says("HTTP/1.1 2000 OK\r\n\r\n"),
            "does not answer as an HTTP proxy",
        ),
        (
            says("SSH-2.0-OpenSSH_9\r\n"),
            "does not answer as an HTTP proxy",
        ),
        (says("\0\0\0\0\r\n\r\n"), "does not answer as an HTTP proxy"),
        (says("HTTP/1.1 200 OK\r\n"), "no answer in time"),
        (says("H"), "no answer in time"),
        (says(""), "no answer in time"),
        (Manner::Closes, "it closed the connection"),
        (
            Manner::Floods(b"HTTP/1.1 200 OK\r\nx: y\r\n".to_vec()),
            "is longer than 16384 bytes",
        ),
        (
            Manner::Floods(vec![b'a'; 4096]),
            "does not answer as an HTTP proxy",
        ),
    ] {
        let corporate = Corporate::new(manner).await;
        let egress = egress(corporate.port, &["in.example"], |_| {});
        let start = Instant::now();
        let answer = ask(&egress, &get("in.example")).await;
        assert!(
            answer.starts_with("HTTP/1.1 502") && answer.contains(words),
            "{words}: {answer}"
        );
        assert!(!answer.contains("Evil"), "{answer}");
        assert!(start.elapsed() < Duration::from_secs(3), "{words}");
    }
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let egress = egress(port, &["in.example"], |_| {});
    let answer = ask(&egress, &get("in.example")).await;
    assert!(
        answer.starts_with("HTTP/1.1 502") && answer.contains("is not reached"),
        "{answer}"
    );
}
