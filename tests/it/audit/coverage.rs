//! Every mutation and every access is written, and no value with it: each action of the list is driven over HTTP, with
//! secrets of every kind on the way, and then looked for in what leaves the log: export, syslog and webhook.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::drive::Drive;
use crate::arch::actions;
use crate::assistant::{Desk, SOON};
use crate::support::eventually;
use crate::support::server::{PASSWORD, Server};
use crate::support::upstream::{Turn, Upstream};

/// Actions that this drive does not reach over HTTP, each with its reason.
const NOT_DRIVEN: &[(&str, &str)] = &[
    (
        "CredentialSet",
        "a command on the host, told in the installation's part of the log",
    ),
    (
        "CredentialDelete",
        "a command on the host, told in the installation's part of the log",
    ),
    (
        "MasterRotate",
        "a command on the host, told in the installation's part of the log",
    ),
];

/// What was entered somewhere, and must not come out of the log.
#[derive(Default)]
pub struct Canaries(Vec<String>);

impl Canaries {
    /// Notes a value, and gives it back.
    pub fn plant(&mut self, value: impl Into<String>) -> String {
        let value = value.into();
        assert!(value.len() >= 12, "{value:?} could be found by chance");
        self.0.push(value.clone());
        value
    }

    /// The values that are in `text`, as they are or encoded.
    fn found_in(&self, text: &str) -> Vec<&str> {
        let lower = text.to_lowercase();
        let inside = |value: &&String| {
            let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            // Without the end, which depends on what follows.
            let mut base64 = BASE64_STANDARD.encode(value.as_bytes());
            base64.truncate(value.len() / 3 * 4);
            text.contains(value.as_str()) || lower.contains(&hex) || text.contains(&base64)
        };
        let found = self.0.iter().filter(inside);
        found.map(String::as_str).collect()
    }
}

#[tokio::test]
async fn everything_is_told_and_no_value_with_it() {
    let write = json!({"path": "made.txt", "content": "canary-of-the-assistant's-file"});
    let run = json!({"command": "echo canary-of-the-assistant's-command"});
    let upstream = Upstream::with_turns(vec![
        Turn::tool("write", write),
        Turn::tool("run", run),
        Turn::text("canary-of-the-answer"),
        Turn::text("canary-of-the-gateway"),
    ])
    .await;
    let builder = Server::builder()
        .set("audit.also_allow", "[\"127.0.0.0/8\", \"::1/128\"]")
        .set("egress.workspace_additions", "true");
    let desk = Desk::on(builder, upstream).await;
    let mut drive = Drive {
        place: format!("/workspaces/{}", desk.workspace),
        organization: format!("/organizations/{}", desk.api.organization().await),
        canaries: Canaries::default(),
        desk,
    };
    for planted in [
        "tr0ub4dor-and-3-secret",
        "canary-of-the-assistant's-file",
        "canary-of-the-assistant's-command",
        "canary-of-the-answer",
        "canary-of-the-gateway",
        PASSWORD,
        drive.desk.api.token().unwrap(),
        drive.desk.upstream.key(),
    ] {
        drive.canaries.plant(planted);
    }
    let (webhook, syslog, sinks) = drive.sinks().await;
    drive.container().await;
    drive.assistant().await;
    drive.secrets().await;
    drive.people().await;
    drive.second_factor().await;
    drive.workspaces().await;
    drive.sessions().await;

    let Drive {
        desk,
        organization,
        canaries,
        ..
    } = &drive;
    let log = format!("{organization}/audit");
    desk.api.get(&log).await.expect(200);
    desk.api.get(&format!("{log}/export")).await.expect(200);
    // The controller stops the container of who may not have it any more.
    eventually("a container stopped", SOON, || async {
        let page = desk
            .api
            .get(&format!("{log}?action=containers.stopped"))
            .await
            .ok();
        (page["items"] != json!([])).then_some(())
    })
    .await;
    // Within a minute the server looks for secrets that end.
    eventually("a reminder", crate::secrets::ROUND, || async {
        let page = desk
            .api
            .get(&format!("{log}?action=secrets.expire"))
            .await
            .ok();
        (page["items"] != json!([])).then_some(())
    })
    .await;
    eventually("empty spools", SOON, || async {
        let listed = desk.api.get(&sinks).await.ok();
        let all = listed["items"].as_array().unwrap();
        all.iter().all(|sink| sink["waiting"] == 0).then_some(())
    })
    .await;
    let export = desk
        .api
        .get(&format!("{log}/export"))
        .await
        .expect(200)
        .text();

    let seen: BTreeSet<String> = export
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line["action"].as_str().unwrap().to_owned())
        .collect();
    let excepted: BTreeSet<&str> = NOT_DRIVEN.iter().map(|(name, _)| *name).collect();
    let all = actions::all();
    let (expected, others): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|(name, _)| !excepted.contains(name.as_str()));
    let missing: Vec<_> = expected
        .iter()
        .filter(|(_, word)| !seen.contains(word))
        .collect();
    assert!(
        missing.is_empty(),
        "drive these, or find out why they were not written: {missing:?}"
    );
    let stale: Vec<_> = others
        .iter()
        .filter(|(_, word)| seen.contains(word))
        .collect();
    assert!(
        stale.is_empty(),
        "these are written and must leave the list: {stale:?}"
    );

    let posted: Vec<String> = webhook
        .all()
        .iter()
        .map(|request| String::from_utf8(request.body.clone()).unwrap())
        .collect();
    for (what, text) in [
        ("the export", export),
        ("the webhook", posted.join("\n")),
        ("syslog", syslog.all().join("\n")),
    ] {
        // Else there is nothing to search.
        for word in [
            "secrets.reveal",
            "account.second_factor_enable",
            "containers.exec",
        ] {
            assert!(text.contains(word), "{what} has no {word}");
        }
        let found = canaries.found_in(&text);
        assert!(found.is_empty(), "{what} has {found:?}");
    }
}

#[test]
fn canaries_are_found_in_what_holds_them() {
    let mut canaries = Canaries::default();
    canaries.plant("canary-of-the-test");
    for text in [
        "{\"detail\": \"canary-of-the-test\"}".to_owned(),
        BASE64_STANDARD.encode("canary-of-the-test, and more"),
        "63616E6172792D6F662D7468652D74657374".to_owned(),
    ] {
        assert_eq!(canaries.found_in(&text).len(), 1, "{text}");
    }
    assert!(canaries.found_in("canary-of-another").is_empty());
}
