//! Probes of each kind against real sockets of the loopback: some that answer, some that are closed, some that stay silent.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use super::{Gate, Plan};
use crate::wire::{Isolation, Observed};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listener that the kernel takes connections for.
async fn listening() -> TcpListener {
    TcpListener::bind(ANY).await.unwrap()
}

/// A port that nothing listens on.
async fn closed() -> SocketAddr {
    listening().await.local_addr().unwrap()
}

/// A listener with a full queue: the kernel drops what else comes, as an enforcer does.
struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Silent {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(ANY).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        let next = Duration::from_millis(300);
        while let Ok(stream) = tokio::time::timeout(next, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

/// Answers every datagram, or swallows it.
async fn datagrams(answer: Option<&'static [u8]>) -> (SocketAddr, Arc<UdpSocket>) {
    let socket = Arc::new(UdpSocket::bind(ANY).await.unwrap());
    let (address, served) = (socket.local_addr().unwrap(), Arc::clone(&socket));
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((_, from)) = served.recv_from(&mut buffer).await {
            if let Some(answer) = answer {
                served.send_to(answer, from).await.unwrap();
            }
        }
    });
    (address, socket)
}

fn plan(wait_ms: u64, probes: &[Value]) -> Plan {
    let file = json!({"enforcer_wait_ms": wait_ms, "probes": probes});
    Plan::new(serde_json::from_value(file).unwrap()).unwrap()
}

fn probe(kind: &str, address: SocketAddr, expect: &str) -> Value {
    json!({"name": kind, "kind": kind, "address": address.to_string(), "expect": expect, "timeout_ms": 300, "query": "a.example"})
}

/// The one named probe between a control that answers and a wall that holds.
async fn observed(one: Value) -> (Isolation, Observed) {
    let (control, silent) = (listening().await, Silent::new().await);
    let found = plan(
        0,
        &[
            probe("tcp", control.local_addr().unwrap(), "reachable"),
            one,
            probe("tcp", silent.address, "blocked"),
        ],
    )
    .prove()
    .await;
    let seen = found.probes[1].observed;
    (found, seen)
}

#[track_caller]
fn check(found: &(Isolation, Observed), proven: bool, observed: Observed) {
    assert_eq!(
        (found.0.proven, found.1),
        (proven, observed),
        "{:#?}",
        found.0
    );
}

#[tokio::test]
async fn tcp() {
    let listener = listening().await;
    let open_address = listener.local_addr().unwrap();
    check(
        &observed(probe("tcp", open_address, "blocked")).await,
        false,
        Observed::Reachable,
    );
    check(
        &observed(probe("tcp", open_address, "reachable")).await,
        true,
        Observed::Reachable,
    );
    let silent = Silent::new().await;
    check(
        &observed(probe("tcp", silent.address, "blocked")).await,
        true,
        Observed::Blocked,
    );
    check(
        &observed(probe("tcp", silent.address, "reachable")).await,
        false,
        Observed::Blocked,
    );
}

#[tokio::test]
async fn a_refusal_proves_nothing_unless_it_is_said_to_be_the_enforcers() {
    let closed = closed().await;
    for expect in ["blocked", "reachable"] {
        check(
            &observed(probe("tcp", closed, expect)).await,
            false,
            Observed::Refused,
        );
        check(
            &observed(probe("udp", closed, expect)).await,
            false,
            Observed::Refused,
        );
    }
    let mut rejected = probe("tcp", closed, "blocked");
    rejected["refusal"] = "blocked".into();
    check(&observed(rejected.clone()).await, true, Observed::Blocked);
    rejected["expect"] = "reachable".into();
    check(&observed(rejected).await, false, Observed::Refused);
}

#[tokio::test]
async fn udp_and_dns_over_udp() {
    let (answering, _a) = datagrams(Some(b"pong")).await;
    let (swallowing, _b) = datagrams(None).await;
    for kind in ["udp", "dns-udp"] {
        check(
            &observed(probe(kind, answering, "blocked")).await,
            false,
            Observed::Reachable,
        );
        check(
            &observed(probe(kind, answering, "reachable")).await,
            true,
            Observed::Reachable,
        );
        check(
            &observed(probe(kind, swallowing, "blocked")).await,
            true,
            Observed::Blocked,
        );
        check(
            &observed(probe(kind, swallowing, "reachable")).await,
            false,
            Observed::Blocked,
        );
    }
}

#[tokio::test]
async fn what_is_sent_is_what_the_file_says() {
    let socket = UdpSocket::bind(ANY).await.unwrap();
    let mut one = probe("udp", socket.local_addr().unwrap(), "blocked");
    one["send"] = "cGluZw==".into();
    let receiving = async {
        let mut buffer = [0; 64];
        let (size, _) = socket.recv_from(&mut buffer).await.unwrap();
        buffer[..size].to_vec()
    };
    let (_, received) = tokio::join!(observed(one), receiving);
    assert_eq!(received, b"ping");
}

#[tokio::test]
async fn dns_over_tcp() {
    let listener = listening().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            assert!(question.ends_with(b"\x01a\x07example\x00\x00\x01\x00\x01"));
            stream.write_all(&[0, 1, 0]).await.unwrap();
        }
    });
    check(
        &observed(probe("dns-tcp", address, "reachable")).await,
        true,
        Observed::Reachable,
    );
    check(
        &observed(probe("dns-tcp", address, "blocked")).await,
        false,
        Observed::Reachable,
    );
    let silent = Silent::new().await;
    check(
        &observed(probe("dns-tcp", silent.address, "blocked")).await,
        true,
        Observed::Blocked,
    );
    // Taken by the kernel and never answered: neither a wall nor a way.
    let mute = listening().await;
    for expect in ["blocked", "reachable"] {
        check(
            &observed(probe("dns-tcp", mute.local_addr().unwrap(), expect)).await,
            false,
            Observed::Unknown,
        );
    }
}

#[tokio::test]
async fn tcp6() {
    // Documentation addresses (RFC 3849) are routed nowhere.
    let nowhere = "[2001:db8::1]:443".parse().unwrap();
    check(
        &observed(probe("tcp6", nowhere, "blocked")).await,
        true,
        Observed::Blocked,
    );
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("this machine has no IPv6: the rest is not tried");
        return;
    };
    check(
        &observed(probe("tcp6", listener.local_addr().unwrap(), "blocked")).await,
        false,
        Observed::Reachable,
    );
}

#[tokio::test]
async fn without_a_control_that_answers_nothing_is_proven() {
    let (dead, silent) = (Silent::new().await, Silent::new().await);
    let found = plan(
        0,
        &[
            probe("tcp", dead.address, "reachable"),
            probe("tcp", silent.address, "blocked"),
        ],
    )
    .prove()
    .await;
    assert!(!found.proven);
    assert_eq!(found.probes[1].observed, Observed::Blocked);
}

/// The network dies after the first look at the control: what is silent from then on shows nothing.
#[tokio::test]
async fn a_network_that_dies_meanwhile_proves_nothing() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(ANY).unwrap();
    let control = socket.listen(1).unwrap();
    let silent = Silent::new().await;
    let one = plan(
        0,
        &[
            probe("tcp", control.local_addr().unwrap(), "reachable"),
            probe("tcp", silent.address, "blocked"),
        ],
    );
    let proving = one.prove();
    let dying = async {
        let taken = control.accept().await.unwrap();
        drop((taken, control));
    };
    let (found, ()) = tokio::join!(proving, dying);
    assert!(!found.proven, "{found:#?}");
    assert_eq!(found.probes[0].observed, Observed::Refused);
}

/// An enforcer takes a moment.
#[tokio::test]
async fn a_wall_that_comes_late_is_waited_for() {
    let control = listening().await;
    let target = UdpSocket::bind(ANY).await.unwrap();
    let address = target.local_addr().unwrap();
    let enforced = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&enforced);
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = target.recv_from(&mut buffer).await {
            if !seen.load(Ordering::Relaxed) {
                target.send_to(b"open", from).await.unwrap();
            }
        }
    });
    let late = Arc::clone(&enforced);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        late.store(true, Ordering::Relaxed);
    });
    let probes = [
        probe("tcp", control.local_addr().unwrap(), "reachable"),
        probe("udp", address, "blocked"),
    ];
    let found = plan(10_000, &probes).prove().await;
    assert!(found.proven, "{found:#?}");
    assert!((500..10_000).contains(&found.took_ms), "{}", found.took_ms);
}

#[tokio::test]
async fn the_gate_opens_by_proof_alone_and_shuts_again() {
    assert!(Gate::open().may_start().is_ok());
    assert_eq!(Gate::open().check().await, None);

    let (target, control) = (Silent::new().await, listening().await);
    let address = control.local_addr().unwrap();
    let gate = Gate::shut(plan(
        0,
        &[
            probe("tcp", address, "reachable"),
            probe("tcp", target.address, "blocked"),
        ],
    ));
    let early = gate.may_serve().unwrap_err();
    assert_eq!((early.status, &*early.code), (503, "isolation-unproven"));
    assert!(gate.may_start().is_err());
    assert_eq!(gate.last().unwrap().checked_at_ms, 0);
    assert!(gate.check().await.unwrap().proven);
    assert!(gate.may_serve().is_ok() && gate.may_start().is_ok());
    drop(control);
    assert!(!gate.check().await.unwrap().proven);
    assert!(gate.may_serve().is_ok(), "what runs goes on");
    let late = gate.may_start().unwrap_err();
    assert!(late.detail.contains(&format!("tcp at {address}")), "{late}");
}

#[test]
fn a_file_that_could_prove_nothing_is_refused() {
    let read = |probes: Value| {
        let file = serde_json::from_value(json!({"probes": probes})).map_err(|e| e.to_string())?;
        Plan::new(file).map(drop)
    };
    let (blocked, reachable) = (
        json!({"name": "wall", "kind": "tcp", "address": "10.0.0.1:1", "expect": "blocked"}),
        json!({"name": "way", "kind": "tcp", "address": "10.0.0.2:1", "expect": "reachable"}),
    );
    assert_eq!(read(json!([blocked, reachable])), Ok(()));
    for (probes, named) in [
        (json!([]), "blocked"),
        (json!([blocked]), "reachable"),
        (json!([reachable]), "blocked"),
        (
            json!([blocked, reachable, {"name": "x", "kind": "icmp", "expect": "blocked"}]),
            "icmp",
        ),
        (
            json!([blocked, reachable, {"name": "x", "kind": "tcp", "expect": "blocked"}]),
            "address",
        ),
        (
            json!([blocked, reachable, {"name": "x", "kind": "tcp6", "address": "10.0.0.1:1", "expect": "blocked"}]),
            "IPv4",
        ),
        (
            json!([blocked, reachable, {"name": "x", "kind": "dns-udp", "address": "10.0.0.1:53", "expect": "blocked"}]),
            "query",
        ),
        (
            json!([blocked, reachable, {"name": "x", "kind": "udp", "address": "10.0.0.1:53", "send": "!", "expect": "blocked"}]),
            "base64",
        ),
        (
            json!([blocked, reachable, {"name": "x", "kind": "interface", "expect": "reachable"}]),
            "interfaces",
        ),
        (
            json!([blocked, reachable, {"name": "x", "kind": "tcp", "address": "10.0.0.1:1", "expect": "blocked", "timeout_ms": 0}]),
            "timeout_ms",
        ),
    ] {
        let error = read(probes.clone()).unwrap_err();
        assert!(error.contains(named), "{probes}: {error}");
    }
}
