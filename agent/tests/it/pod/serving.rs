//! Who may command an agent: the broker, by certificate and name, over TLS 1.3. Nobody else, and nothing else.

use std::time::Duration;

use optidev_agent::identity::{BROKER_NAME, SERVER_NAME, container_name};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::authority::{self, Authority, Identity};
use super::{CONTAINER, Pod};
use crate::support::exchange;

/// In TLS 1.3 a client hears of a refusal when it reads.
async fn is_refused(pod: &Pod, who: Option<Identity>, what: &str) {
    let asked = async {
        let stream = pod.connect_as(who).await?;
        exchange(stream, "GET", "/v1/hello", &[], "".into()).await
    };
    if let Ok(answer) = asked.await {
        panic!("{what} is answered: {}", answer.text());
    }
}

#[tokio::test]
async fn only_the_broker_is_served() {
    let (pod, _server) = Pod::running().await;
    let day = authority::DAY;
    is_refused(&pod, None, "a client without a certificate").await;
    for name in [
        &container_name("ctr_00000000000000000000000000"),
        &container_name(CONTAINER),
        SERVER_NAME,
        "broker.container.optidev.internal",
        "x.broker.optidev.internal",
    ] {
        is_refused(&pod, Some(pod.authority.issue(name, day)), name).await;
    }
    let other = Authority::new().issue(BROKER_NAME, day);
    is_refused(&pod, Some(other), "a broker of another authority").await;
    let old = pod.authority.issue(BROKER_NAME, (200, -100));
    is_refused(&pod, Some(old), "a broker of yesterday").await;
    pod.ask("GET", "/v1/hello", "").await.is(200);
}

#[tokio::test]
async fn plaintext_is_refused() {
    let (pod, _server) = Pod::running().await;
    let mut stream = TcpStream::connect(pod.listen).await.unwrap();
    let request = b"GET /v1/hello HTTP/1.1\r\nHost: agent\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(
        !answer.windows(4).any(|four| four == b"HTTP"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let (pod, _server) = Pod::running().await;
    let config = |versions: &[_]| pod.authority.client(Some(pod.broker()), versions);
    let name = container_name(CONTAINER);
    let old = config(&[&rustls::version::TLS12]);
    let error = authority::connect(pod.listen, &name, old)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

/// Strangers who connect and say nothing hold the broker up for the time of one handshake at most.
#[tokio::test]
async fn silent_strangers_are_cut_off() {
    let (pod, _server) = Pod::running().await;
    let mut strangers = Vec::new();
    for _ in 0..70 {
        strangers.push(TcpStream::connect(pod.listen).await.unwrap());
    }
    let asked = pod.ask("GET", "/v1/hello", "");
    let answered = tokio::time::timeout(Duration::from_secs(8), asked).await;
    answered.expect("the broker waits").is(200);
    let mut said = [0; 16];
    let first = strangers[0].read(&mut said);
    let closed = tokio::time::timeout(Duration::from_secs(8), first).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}
