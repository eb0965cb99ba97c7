//! Sinks against real receivers: delivery in order, outages, kills, signatures, and where they may not point.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use super::receivers::{Syslog, Webhook};
use super::set_secrets;
use crate::support::api::Api;
use crate::support::server::{Owner, Server};
use crate::support::{eventually, free_port};

const SOON: Duration = Duration::from_secs(30);

async fn start() -> (Server, Owner, Api, String) {
    let server = Server::builder()
        .embedded()
        .set("audit.also_allow", "[\"127.0.0.0/8\", \"::1/128\"]")
        .start()
        .await;
    let owner = server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let sinks = format!("/organizations/{}/audit-sinks", owner.organization_id);
    (server, owner, ada, sinks)
}

async fn up_to_date(ada: &Api, sinks: &str) -> Value {
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
    let key = BASE64_STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let mut next = 1;
    for request in &requests {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.", request.id, request.timestamp).as_bytes());
        mac.update(&request.body);
        let right = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        assert_eq!(request.signature, right);
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
    let server = Server::builder().embedded().start().await;
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
