//! Sinks against real receivers: delivery in order, outages, kills, signatures, and where they may not point.

use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use serde_json::{Value, json};

use super::receivers::{Flood, Identity, Syslog, Webhook};
use super::set_secrets;
use crate::support::api::Api;
use crate::support::server::{Owner, Server};
use crate::support::{eventually, free_port};

const SOON: Duration = Duration::from_secs(30);

pub async fn start() -> (Server, Owner, Api, String) {
    let server = Server::builder()
        .set("audit.also_allow", "[\"127.0.0.0/8\", \"::1/128\"]")
        .start()
        .await;
    let owner = server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let sinks = format!("/organizations/{}/audit-sinks", owner.organization_id);
    (server, owner, ada, sinks)
}

pub async fn up_to_date(ada: &Api, sinks: &str) -> Value {
    eventually("an empty spool", SOON, || async {
        let sink = ada.get(sinks).await.ok()["items"][0].clone();
        (sink["waiting"] == 0).then_some(sink)
    })
    .await
}

#[tokio::test]
async fn a_webhook_gets_every_entry_signed_through_outage_and_kill() {
    let (mut server, owner, ada, sinks) = start().await;
    let port = free_port();
    let new = json!({"name": "SIEM", "from_beginning": true,
        "target": {"kind": "webhook", "url": format!("http://127.0.0.1:{port}/hook")}});
    let failing = Webhook::start(port, 500).await;
    let made = ada.post(&sinks, &new).await.expect(201).json();
    let secret = made["secret"].as_str().unwrap().to_owned();
    let shown = ada.get(&sinks).await.ok();
    assert!(!shown.to_string().contains(&secret), "shown once");
    let refused = eventually("a refusal", SOON, || async {
        let sink = ada.get(&sinks).await.ok()["items"][0].clone();
        sink["last_error"].is_string().then_some(sink)
    })
    .await;
    assert!(refused["last_error"].as_str().unwrap().contains("500"));
    assert!(refused["waiting"].as_i64().unwrap() > 0);
    let tried = failing.all()[0].id.clone();
    drop(failing);
    set_secrets(&ada, &owner, 20).await;
    server.kill().await;
    server.start_again().await;
    let webhook = Webhook::start(port, 204).await;
    set_secrets(&ada, &owner, 20).await;
    // In the middle of carrying.
    server.kill().await;
    server.start_again().await;
    set_secrets(&ada, &owner, 20).await;
    let sink = up_to_date(&ada, &sinks).await;
    assert_eq!(sink["last_error"], Value::Null);
    let requests = webhook.all();
    assert_eq!(
        requests[0].id, tried,
        "a batch keeps its id through a restart"
    );
    let mut next = 1;
    for request in &requests {
        request.assert_signed_with(&secret);
        let seqs = request.seqs();
        assert!(seqs[0] <= next, "a gap before {seqs:?}, {next} was due");
        assert!(
            seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]),
            "{seqs:?}"
        );
        next = next.max(seqs.last().unwrap() + 1);
    }
    assert_eq!(next, sink["next_seq"].as_i64().unwrap());
    assert!(next > 60);
}

#[tokio::test]
async fn syslog_arrives_over_tls_and_only_with_the_right_certificate() {
    let (_server, owner, ada, sinks) = start().await;
    let port = free_port();
    let other = Syslog::start(free_port(), "localhost").await;
    let syslog = Syslog::start(port, "localhost").await;
    let target =
        |host: &str, ca: &str| json!({"kind": "syslog", "host": host, "port": port, "ca_pem": ca});
    let new = json!({"name": "Logs", "from_beginning": true, "target": target("localhost", &other.ca_pem)});
    let made = ada.post(&sinks, &new).await.expect(201).json();
    let one = format!("{sinks}/{}", made["sink"]["id"].as_str().unwrap());
    // Another authority; the right one and another name; no authority, so the system's.
    for wrong in [
        target("localhost", &other.ca_pem),
        target("127.0.0.1", &syslog.ca_pem),
        json!({"kind": "syslog", "host": "localhost", "port": port}),
    ] {
        ada.send("PATCH", &one, |request| {
            request.json(&json!({"target": wrong}))
        })
        .await
        .expect(200);
        let tested = ada.post(&format!("{one}/test"), &json!({})).await.ok();
        assert_eq!(tested["delivered"], false, "{wrong}");
        assert!(
            tested["error"].as_str().unwrap().contains("certificate"),
            "{tested}"
        );
    }
    assert!(syslog.messages.lock().unwrap().is_empty());
    let right = json!({"target": target("localhost", &syslog.ca_pem)});
    ada.send("PATCH", &one, |request| request.json(&right))
        .await
        .expect(200);
    ada.put(
        &format!("/workspaces/{}/secrets/Q", owner.workspace_id),
        &json!({"tier": "sensitive", "value": "v"}),
    )
    .await
    .expect(200);
    let sink = up_to_date(&ada, &sinks).await;
    let messages = syslog.messages.lock().unwrap().clone();
    assert_eq!(
        messages.len() as i64,
        sink["next_seq"].as_i64().unwrap() - 1
    );
    for (number, message) in messages.iter().enumerate() {
        assert!(message.starts_with("<109>1 20"), "{message}");
        assert!(
            message.contains(&format!(" seq=\"{}\" ", number + 1)),
            "{message}"
        );
        assert!(message.contains("] \u{feff}"), "{message}");
    }
    assert!(
        messages
            .last()
            .unwrap()
            .contains("optidev - secrets.set [optidev@0 organization=\"org_")
    );
}

#[tokio::test]
async fn private_addresses_are_not_reached_unless_the_operator_said_so() {
    let server = Server::start().await;
    let owner = server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let sinks = format!("/organizations/{}/audit-sinks", owner.organization_id);
    for url in [
        "https://169.254.169.254/latest",
        "http://127.0.0.1:1/",
        "https://[::1]/",
        "https://10.0.0.1/",
        "http://siem.example.com/",
        "https://0x7f000001/",
        "ftp://siem.example.com/",
    ] {
        let new = json!({"name": "x", "target": {"kind": "webhook", "url": url}});
        ada.post(&sinks, &new).await.problem(422, "unprocessable");
    }
    for host in ["127.0.0.1", "169.254.169.254", "a b", ""] {
        let new = json!({"name": "x", "target": {"kind": "syslog", "host": host}});
        ada.post(&sinks, &new).await.problem(422, "unprocessable");
    }
    let plain = json!({"name": "x", "target": {"kind": "syslog", "host": "logs.example.com", "tls": false}});
    ada.post(&sinks, &plain).await.problem(422, "unprocessable");
    // A name says nothing until it is resolved: refused then.
    for target in [
        json!({"kind": "webhook", "url": "https://localhost/"}),
        json!({"kind": "syslog", "host": "localhost"}),
    ] {
        let made = ada
            .post(&sinks, &json!({"name": "x", "target": target}))
            .await
            .expect(201)
            .json();
        let id = made["sink"]["id"].as_str().unwrap().to_owned();
        let tested = ada
            .post(&format!("{sinks}/{id}/test"), &json!({}))
            .await
            .ok();
        assert!(
            tested["error"].as_str().unwrap().contains("loopback"),
            "{tested}"
        );
        ada.delete(&format!("{sinks}/{id}")).await.expect(204);
    }
}

/// The number that a syslog message has.
fn seq(message: &str) -> i64 {
    let rest = message.split(" seq=\"").nth(1).unwrap();
    rest.split('"').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn syslog_loses_nothing_through_outage_and_kill() {
    let (mut server, owner, ada, sinks) = start().await;
    let port = free_port();
    let identity = Identity::new("localhost");
    let target =
        json!({"kind": "syslog", "host": "localhost", "port": port, "ca_pem": identity.ca_pem});
    let new = json!({"name": "Logs", "from_beginning": true, "target": target});
    ada.post(&sinks, &new).await.expect(201);
    // The receiver is away, and the server is killed meanwhile.
    set_secrets(&ada, &owner, 20).await;
    eventually("a failure", SOON, || async {
        let sink = ada.get(&sinks).await.ok()["items"][0].clone();
        sink["last_error"].is_string().then_some(())
    })
    .await;
    server.kill().await;
    server.start_again().await;
    let syslog = Syslog::start_as(port, &identity).await;
    set_secrets(&ada, &owner, 20).await;
    // In the middle of carrying.
    server.kill().await;
    server.start_again().await;
    let sink = up_to_date(&ada, &sinks).await;
    assert_eq!(sink["last_error"], Value::Null);
    // The receiver goes and comes back while the server runs.
    let mut messages = syslog.all();
    drop(syslog);
    set_secrets(&ada, &owner, 20).await;
    let syslog = Syslog::start_as(port, &identity).await;
    let sink = up_to_date(&ada, &sinks).await;
    messages.extend(syslog.all());
    let mut next = 1;
    for seq in messages.iter().map(|message| seq(message)) {
        assert!(seq <= next, "a gap before {seq}, {next} was due");
        next = next.max(seq + 1);
    }
    assert_eq!(next, sink["next_seq"].as_i64().unwrap());
    assert!(next > 60);
}

/// What a receiver says is not kept: it could run the server out of memory.
#[tokio::test]
async fn a_receiver_that_floods_is_broken_off() {
    let (_server, _owner, ada, sinks) = start().await;
    let test = async |target: Value| {
        let new = json!({"name": "Flood", "target": target});
        let made = ada.post(&sinks, &new).await.expect(201).json();
        let one = format!("{sinks}/{}", made["sink"]["id"].as_str().unwrap());
        let tested = ada.post(&format!("{one}/test"), &json!({})).await.ok();
        ada.delete(&one).await.expect(204);
        tested
    };
    let port = free_port();
    let flood = Flood::start(port, "").await;
    let plain = json!({"kind": "syslog", "host": "127.0.0.1", "port": port, "tls": false});
    let tested = test(plain).await;
    assert_eq!(tested["delivered"], false, "{tested}");
    assert!(
        tested["error"].as_str().unwrap().contains("64 KiB"),
        "{tested}"
    );
    // What the kernel holds between the two, and no more.
    assert!(flood.sent() < 64 << 20, "{} bytes", flood.sent());
    // The body of a webhook's answer is not read at all.
    let port = free_port();
    let flood = Flood::start(
        port,
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n",
    )
    .await;
    let url = format!("http://127.0.0.1:{port}/");
    let tested = test(json!({"kind": "webhook", "url": url})).await;
    assert_eq!(tested["delivered"], true, "{tested}");
    assert!(flood.sent() < 64 << 20, "{} bytes", flood.sent());
    // Nor are headers without end.
    let port = free_port();
    let flood = Flood::start(port, "HTTP/1.1 200 OK\r\nx: ").await;
    let url = format!("http://127.0.0.1:{port}/");
    let tested = test(json!({"kind": "webhook", "url": url})).await;
    assert_eq!(tested["delivered"], false, "{tested}");
    assert!(flood.sent() < 64 << 20, "{} bytes", flood.sent());
}

#[tokio::test]
async fn a_sink_is_tested_by_one_at_a_time() {
    let (_server, _owner, ada, sinks) = start().await;
    let port = free_port();
    // Takes connections and says nothing: the handshake waits.
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
    let silent = silent.unwrap();
    let target = json!({"kind": "syslog", "host": "127.0.0.1", "port": port});
    let new = json!({"name": "Silent", "target": target});
    let made = ada.post(&sinks, &new).await.expect(201).json();
    let test = format!("{sinks}/{}/test", made["sink"]["id"].as_str().unwrap());
    let ask = || {
        let (ada, test) = (ada.clone(), test.clone());
        Box::pin(async move { ada.post(&test, &json!({})).await })
    };
    // Which of the two comes first is the server's affair. The one that is refused does not wait; the other does
    // until its connection ends, in the backlog of a listener that is gone.
    let (refused, waiting) = match select(ask(), ask()).await {
        Either::Left(two) | Either::Right(two) => two,
    };
    refused.problem(409, "conflict");
    drop(silent);
    assert_eq!(waiting.await.ok()["delivered"], false);
    // The end of one is the beginning of the next.
    let again = ada.post(&test, &json!({})).await.ok();
    assert_eq!(again["delivered"], false);
}

/// Failures are noted beside deliveries that hold the database at that moment: neither waits for the other.
#[tokio::test]
async fn sinks_that_fail_hold_up_nobody() {
    let (_server, owner, ada, sinks) = start().await;
    let port = free_port();
    let webhook = Webhook::start(port, 204).await;
    for number in 0..6 {
        // Nobody listens at the others.
        let port = if number == 0 { port } else { free_port() };
        let url = format!("http://127.0.0.1:{port}/");
        let new = json!({"name": "One", "from_beginning": true,
            "target": {"kind": "webhook", "url": url}});
        ada.post(&sinks, &new).await.expect(201);
    }
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    while started.elapsed() < Duration::from_secs(4) {
        let one = Instant::now();
        set_secrets(&ada, &owner, 1).await;
        longest = longest.max(one.elapsed());
    }
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    assert!(!webhook.all().is_empty());
    let listed = ada.get(&sinks).await.ok();
    let all = listed["items"].as_array().unwrap();
    let failed = all.iter().filter(|sink| sink["last_error"].is_string());
    assert_eq!(failed.count(), 5);
}
