//! The way out of a pod: the loopback proxy's bytes, over TLS with the container's certificate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use optidev_agent::identity::{EGRESS_ALPN, SERVER_NAME};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Pod;
use super::authority::{Authority, DAY};

async fn ask(pod: &Pod, rest: &[u8]) -> String {
    let mut stream = TcpStream::connect(pod.proxy).await.unwrap();
    let head = b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n";
    stream.write_all(head).await.unwrap();
    stream.write_all(rest).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(15), reading)
        .await
        .unwrap();
    answer
}

#[tokio::test]
async fn the_proxy_is_relayed_with_the_containers_certificate() {
    let (pod, _server) = Pod::running().await;
    let answer = ask(&pod, b"bytes there and back").await;
    assert_eq!(answer, "HTTP/1.1 200 Known\r\n\r\nbytes there and back");
}

#[tokio::test]
async fn without_a_server_the_client_is_told() {
    let (pod, server) = Pod::running().await;
    let told = |answer: &str| {
        answer.starts_with("HTTP/1.1 502 ") && answer.contains("OptiDev's server does not answer")
    };
    let identity = |of: &Authority, name| of.issue(name, DAY);

    // Another authority, as somebody in the middle would have: nothing goes there.
    let other = Authority::new();
    let config = other.server(identity(&other, SERVER_NAME), &[EGRESS_ALPN]);
    server.set(|set| set.config = Arc::new(config));
    let answer = ask(&pod, b"").await;
    assert!(told(&answer), "{answer}");

    // The right authority, and not the server.
    let config = pod.authority.server(
        identity(&pod.authority, "x.optidev.internal"),
        &[EGRESS_ALPN],
    );
    server.set(|set| set.config = Arc::new(config));
    let answer = ask(&pod, b"").await;
    assert!(told(&answer), "{answer}");

    // A server that no longer takes this container's certificate, which shows after the handshake.
    let mine = identity(&pod.authority, SERVER_NAME);
    let config = other.server(mine, &[EGRESS_ALPN]);
    server.set(|set| set.config = Arc::new(config));
    let begun = Instant::now();
    let answer = ask(&pod, b"").await;
    assert!(told(&answer), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(1));

    drop(server);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let answer = ask(&pod, b"").await;
    assert!(told(&answer), "{answer}");
}

#[tokio::test]
async fn programs_are_told_where_the_proxy_is() {
    let (pod, _server) = Pod::running().await;
    let command = serde_json::json!({"command": ["sh", "-c", "echo $https_proxy"]});
    let answer = pod.ask("POST", "/v1/exec", command).await.is(200);
    assert!(answer.text().contains(":3128"), "{}", answer.text());
}
