//! A workspace's key is changed, while secrets are set, and by who may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::containers::owner;
use crate::members::signed_in;
use crate::support::api::Api;
use crate::support::server::Server;

async fn set(api: &Api, secrets: &str, name: &str, tier: &str, value: &str) {
    let body = json!({"tier": tier, "value": value});
    api.put(&format!("{secrets}/{name}"), &body)
        .await
        .expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_gets_a_new_key_while_secrets_are_set() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let mut browser = signed_in(&server, "ada@example.com").await;
    let secrets = format!("/workspaces/{}/secrets", api.workspace().await);
    for round in 0..3 {
        set(
            &api,
            &secrets,
            "KEPT",
            "visible",
            &format!("version {round}"),
        )
        .await;
    }
    set(&api, &secrets, "MASKED", "masked", "hidden").await;
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let (api, secrets) = (api.clone(), secrets.clone());
            tokio::spawn(async move {
                let name = format!("WRITTEN_{number}");
                for round in 0..25 {
                    set(&api, &secrets, &name, "visible", &format!("round {round}")).await;
                }
            })
        })
        .collect();
    let rotated = Arc::new(AtomicBool::new(false));
    // Key and values are read by two statements, between which a rotation may come.
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (api, secrets, rotated) = (api.clone(), secrets.clone(), Arc::clone(&rotated));
            tokio::spawn(async move {
                while !rotated.load(Ordering::Relaxed) {
                    let listed = api.get(&secrets).await.ok();
                    assert_eq!(listed["items"][0]["value"], "version 2");
                }
            })
        })
        .collect();
    let rotate = format!("{secrets}/rotate-key");
    for _ in 0..8 {
        let (status, text) = browser.api("POST", &rotate, Some(&json!({}))).await;
        assert_eq!(status, 200, "{text}");
    }
    rotated.store(true, Ordering::Relaxed);
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
    let (status, text) = browser.api("POST", &rotate, Some(&json!({}))).await;
    assert_eq!(status, 200);
    let done: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(done["values"], 3 + 1 + 4 * 25, "each version");
    let listed = api.get(&secrets).await.ok();
    for item in listed["items"].as_array().unwrap() {
        match item["name"].as_str().unwrap() {
            "KEPT" => assert_eq!(item["value"], "version 2"),
            "MASKED" => assert_eq!(item["value"], Value::Null),
            _ => assert_eq!(item["value"], "round 24"),
        }
    }
    let (status, text) = browser
        .api(
            "POST",
            &format!("{secrets}/MASKED/reveal"),
            Some(&json!({})),
        )
        .await;
    assert_eq!((status, text.contains("hidden")), (200, true), "{text}");
}

#[tokio::test]
async fn what_was_shredded_opens_no_more_and_what_is_set_then_does() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let mut browser = signed_in(&server, "ada@example.com").await;
    let place = format!("/workspaces/{}", api.workspace().await);
    let secrets = format!("{place}/secrets");
    set(&api, &secrets, "GONE", "visible", "before").await;
    let shred = format!("{secrets}/shred-all");
    let (status, _) = browser
        .api("POST", &shred, Some(&json!({"name": "another"})))
        .await;
    assert_eq!(status, 422);
    assert_eq!(api.get(&secrets).await.ok()["items"][0]["value"], "before");
    let name = api.get(&place).await.ok()["name"].clone();
    let (status, text) = browser
        .api("POST", &shred, Some(&json!({"name": name})))
        .await;
    assert_eq!(status, 204, "{text}");
    assert_eq!(api.get(&secrets).await.ok()["items"], json!([]));
    set(&api, &secrets, "NEW", "visible", "after").await;
    assert_eq!(api.get(&secrets).await.ok()["items"][0]["value"], "after");
}

#[tokio::test]
async fn a_key_is_changed_by_an_owner_who_is_there() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let place = format!("/workspaces/{}", api.workspace().await);
    let secrets = format!("{place}/secrets");
    set(&api, &secrets, "KEPT", "visible", "kept").await;
    // A token proves nobody's presence.
    let name = api.get(&place).await.ok()["name"].clone();
    api.post(&format!("{secrets}/rotate-key"), &json!({}))
        .await
        .problem(403, "reauthentication_required");
    api.post(&format!("{secrets}/shred-all"), &json!({"name": name}))
        .await
        .problem(403, "reauthentication_required");
    let items = api.get(&secrets).await.ok();
    assert_eq!(items["items"][0]["value"], "kept");
}
