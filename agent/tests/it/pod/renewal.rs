//! Renewal: a new key and certificate in time, and nobody notices.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use optidev_agent::identity::container_name;
use optidev_agent::wire::{Terminal, decode_output};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::authority::{DAY, TlsClient};
use super::server::{Server, has_name};
use super::{CONTAINER, Pod};

/// A client on a terminal.
pub struct Shell {
    socket: WebSocketStream<TlsClient>,
    output: String,
}

impl Shell {
    pub async fn open(pod: &Pod) -> Self {
        let size = json!({"cols": 80, "rows": 24});
        let made = pod.ask("POST", "/v1/terminals", size).await.is(201);
        let id = made.json::<Terminal>().id;
        let url = format!("ws://agent/v1/terminals/{id}");
        let stream = pod.connect().await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        Self {
            socket,
            output: String::new(),
        }
    }

    /// Runs a line and waits for what it prints.
    pub async fn run(&mut self, line: &str, prints: &str) {
        let input = format!("{line}\n").into_bytes();
        self.socket
            .send(Message::Binary(input.into()))
            .await
            .unwrap();
        let reading = async {
            while !self.output.contains(prints) {
                if let Message::Binary(frame) = self.socket.next().await.unwrap().unwrap() {
                    let (_, output) = decode_output(&frame).unwrap();
                    self.output.push_str(&String::from_utf8_lossy(output));
                }
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(10), reading).await;
        assert!(read.is_ok(), "no {prints:?} in {:?}", self.output);
    }
}

async fn certificate(pod: &Pod) -> CertificateDer<'static> {
    let stream = pod.connect().await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

async fn changed(pod: &Pod, from: &CertificateDer<'static>) -> CertificateDer<'static> {
    let begun = Instant::now();
    loop {
        let now = certificate(pod).await;
        if now != *from {
            return now;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{}",
            pod.stderr()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_certificate_is_renewed_while_a_terminal_stays_open() {
    let mut pod = Pod::new().await;
    let server = Server::start(&pod).await;
    // Half of its life is over after 5 seconds.
    server.set(|set| set.life = (10, 20));
    pod.start();
    pod.proven().await;
    let first = certificate(&pod).await;
    let mut shell = Shell::open(&pod).await;
    shell.run("echo be$((1))fore", "be1fore").await;
    server.set(|set| set.statuses = [503, 403].into());

    let second = changed(&pod, &first).await;
    shell.run("echo af$((1))ter", "af1ter").await;
    assert!(has_name(&second, &container_name(CONTAINER)));
    let renewals = server.saw(|saw| saw.renewals.clone());
    // Twice it was told to wait or to go away; it came back with the certificate that was good, and with a new key each time.
    assert_eq!(renewals.len(), 3);
    assert!(renewals.iter().all(|(with, _)| *with == first));
    assert_ne!(renewals[0].1.csr, renewals[1].1.csr);
    assert_ne!(renewals[1].1.csr, renewals[2].1.csr);
    assert_eq!(server.saw(|saw| saw.enrolments.len()), 1);
    pod.ask("GET", "/v1/hello", "").await.is(200);
}

#[tokio::test]
async fn the_next_renewal_comes_with_the_new_certificate() {
    let mut pod = Pod::new().await;
    let server = Server::start(&pod).await;
    // More than half of their life is over when they are given out, so the agent asks as soon as it may.
    server.set(|set| (set.life, set.next_life) = ((30, 20), (30, 20)));
    pod.start();
    let begun = Instant::now();
    pod.proven().await;
    while server.saw(|saw| saw.renewals.len()) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "not without end");
    let renewals = server.saw(|saw| saw.renewals.clone());
    assert_ne!(renewals[0].0, renewals[1].0);
    server.set(|set| set.next_life = DAY);
}
