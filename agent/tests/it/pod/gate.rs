//! The gate: nothing happens in a container whose isolation is not proven.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use optidev_agent::Problem;
use optidev_agent::wire::{Isolation, Observed};
use serde_json::{Value, json};
use tokio::net::{TcpListener, UdpSocket};

use super::Pod;
use super::renewal::Shell;
use super::server::Server;

fn exec() -> Value {
    json!({"command": ["sh", "-c", "echo ran > ran"]})
}

/// What starts a process, or takes a value.
fn starts() -> [(&'static str, &'static str, Value); 4] {
    [
        ("POST", "/v1/exec", exec()),
        ("POST", "/v1/terminals", json!({"cols": 80, "rows": 24})),
        (
            "POST",
            "/v1/clone",
            json!({"folder": "app", "url": "https://a.example/b"}),
        ),
        (
            "PUT",
            "/v1/environment",
            json!({"workspace": {"info": "", "sealed": {"enc": "", "ciphertext": ""}}}),
        ),
    ]
}

async fn is_shut(pod: &Pod, method: &str, path: &str, body: &Value, why: &str) {
    let answer = pod.ask(method, path, body).await;
    assert_eq!(answer.status, 503, "{method} {path}: {}", answer.text());
    let problem: Problem = answer.json();
    assert_eq!(&*problem.code, "isolation-unproven");
    assert!(problem.detail.contains(why), "{problem}");
}

/// Lets the pod's wall answer while the flag says so.
fn hole(pod: &mut Pod) -> Arc<AtomicBool> {
    let open = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&open);
    let spare = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    spare.set_nonblocking(true).unwrap();
    let probed = pod.wall.local_addr().unwrap();
    let wall = std::mem::replace(&mut pod.wall, UdpSocket::from_std(spare).unwrap());
    pod.probed = Some(probed);
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = wall.recv_from(&mut buffer).await {
            if seen.load(Ordering::Relaxed) {
                wall.send_to(b"here", from).await.unwrap();
            }
        }
    });
    open
}

#[tokio::test]
async fn nothing_is_served_before_the_proof() {
    let mut pod = Pod::new().await;
    let open = hole(&mut pod);
    let _server = Server::start(&pod).await;
    pod.start();
    assert!(!pod.checked().await);
    let isolation = pod.hello().await.isolation.unwrap();
    assert_eq!(isolation.probes[0].observed, Observed::Reachable);
    assert_eq!(isolation.probes[1].observed, Observed::Reachable);
    let why = "metadata at 127.0.0.1:";
    for (method, path, body) in starts() {
        is_shut(&pod, method, path, &body, why).await;
    }
    for (method, path) in [
        ("GET", "/v1/files?list=1"),
        ("PUT", "/v1/files/a"),
        ("GET", "/v1/activity"),
        ("GET", "/v1/terminals"),
        ("GET", "/v1/ports"),
        ("GET", "/v1/ports/80"),
        ("GET", "/v1/watch"),
        ("GET", "/v1/hello/"),
        ("GET", "/v1//hello"),
        ("GET", "/nothing"),
    ] {
        is_shut(&pod, method, path, &Value::Null, why).await;
    }
    assert!(!pod.dir.path().join("home/ran").exists());

    let again = pod.ask("POST", "/v1/isolation", "").await.is(200);
    assert!(!again.json::<Isolation>().proven);
    open.store(false, Ordering::Relaxed);
    let again = pod.ask("POST", "/v1/isolation", "").await.is(200);
    assert!(again.json::<Isolation>().proven, "{}", again.text());
    pod.ask("POST", "/v1/exec", exec()).await.is(200);
    assert!(pod.dir.path().join("home/ran").exists());
}

#[tokio::test]
async fn an_unproven_agent_can_be_told_to_end() {
    let mut pod = Pod::new().await;
    let _open = hole(&mut pod);
    let _server = Server::start(&pod).await;
    pod.start();
    assert!(!pod.checked().await);
    pod.ask("POST", "/v1/shutdown", "").await.is(202);
    assert!(pod.ended().await.success());
}

#[tokio::test]
async fn a_proof_that_is_lost_stops_what_is_new_and_nothing_else() {
    let mut pod = Pod::new().await;
    let _server = Server::start(&pod).await;
    pod.start();
    pod.proven().await;
    let mut shell = Shell::open(&pod).await;
    // The control is gone: the network may be dead, and silence shows nothing.
    let address = pod.control.take().unwrap().local_addr().unwrap();
    let lost = pod.ask("POST", "/v1/isolation", "").await.is(200);
    assert!(!lost.json::<Isolation>().proven);
    for (method, path, body) in starts() {
        is_shut(&pod, method, path, &body, "server at 127.0.0.1:").await;
    }
    shell.run("echo go$((1))es on", "go1es on").await;
    pod.ask("GET", "/v1/files?list=1", "").await.is(200);
    assert!(!pod.hello().await.isolation.unwrap().proven);

    pod.control = Some(TcpListener::bind(address).await.unwrap());
    let found = pod.ask("POST", "/v1/isolation", "").await.is(200);
    assert!(found.json::<Isolation>().proven, "{}", found.text());
    pod.ask("POST", "/v1/exec", exec()).await.is(200);
}

#[tokio::test]
async fn an_agent_without_probes_does_not_start() {
    for probes in ["", "{}", r#"{"probes": []}"#] {
        let mut pod = Pod::new().await;
        let server = Server::start(&pod).await;
        pod.written = Some(probes.to_owned());
        pod.start();
        assert!(!pod.ended().await.success());
        assert!(pod.stderr().contains("--probes"), "{}", pod.stderr());
        assert_eq!(server.saw(|saw| saw.enrolments.len()), 0);
    }
}
