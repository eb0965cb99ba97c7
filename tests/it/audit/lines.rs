//! Nothing that people name can begin a line of the log: neither in the names of things nor on the way to a receiver.

use serde_json::json;

use super::receivers::{Identity, Syslog};
use super::set_secrets;
use super::sinks::{start, up_to_date};
use crate::support::free_port;

const TWO_LINES: &str = "a\n<109>1 2026-01-01T00:00:00Z x optidev - secrets.reveal - b";

#[tokio::test]
async fn names_of_two_lines_are_refused_and_addresses_kept_as_they_were_understood() {
    let (_server, owner, ada, sinks) = start().await;
    let place = format!("/workspaces/{}", owner.workspace_id);
    let organization = format!("/organizations/{}", owner.organization_id);
    let hook = json!({"kind": "webhook", "url": "https://siem.example.com/"});
    for (path, body) in [
        (sinks.clone(), json!({"name": TWO_LINES, "target": hook})),
        (
            format!("{place}/projects"),
            json!({"name": TWO_LINES, "source": {"kind": "empty"}}),
        ),
        (
            format!("{organization}/workspaces"),
            json!({"name": TWO_LINES}),
        ),
        (
            format!("{place}/service-accounts"),
            json!({"name": TWO_LINES, "role": "user"}),
        ),
        (
            "/tokens".to_owned(),
            json!({"name": TWO_LINES, "scopes": ["all"]}),
        ),
        (
            format!("{place}/invitations"),
            json!({"email": "a\nb@example.com", "role": "user"}),
        ),
    ] {
        ada.post(&path, &body).await.problem(422, "unprocessable");
    }
    let made = json!({"name": "Hook", "target": {"kind": "webhook", "url": "  https://SIEM.example.com/a\nb\t "}});
    let made = ada.post(&sinks, &made).await.expect(201).json();
    assert_eq!(made["sink"]["target"]["url"], "https://siem.example.com/ab");
    let sink = format!("{sinks}/{}", made["sink"]["id"].as_str().unwrap());
    for (path, body) in [
        (place.clone(), json!({"name": TWO_LINES})),
        (organization.clone(), json!({"name": TWO_LINES})),
        (sink.clone(), json!({"name": TWO_LINES})),
    ] {
        let answer = ada
            .send("PATCH", &path, |request| request.json(&body))
            .await;
        answer.problem(422, "unprocessable");
    }
    let moved = json!({"target": {"kind": "webhook", "url": "https://siem.example.com/\r\nc"}});
    let answer = ada
        .send("PATCH", &sink, |request| request.json(&moved))
        .await;
    assert_eq!(answer.ok()["target"]["url"], "https://siem.example.com/c");
}

/// A name that was taken before it was held against the rule is shown on one line all the same.
#[tokio::test]
async fn a_message_is_one_line() {
    let (server, owner, ada, sinks) = start().await;
    let port = free_port();
    let identity = Identity::new("localhost");
    let syslog = Syslog::start_as(port, &identity).await;
    let target =
        json!({"kind": "syslog", "host": "localhost", "port": port, "ca_pem": identity.ca_pem});
    server
        .execute("UPDATE account SET name = 'Ada\n<109>1 forged\u{1b}[2J'")
        .await;
    let new = json!({"name": "Logs", "target": target});
    ada.post(&sinks, &new).await.expect(201);
    set_secrets(&ada, &owner, 1).await;
    up_to_date(&ada, &sinks).await;
    let messages = syslog.all();
    assert!(messages.iter().any(|message| message.contains("forged")));
    for message in &messages {
        assert!(!message.chars().any(char::is_control), "{message:?}");
    }
}
