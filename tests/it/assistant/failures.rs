//! An assistant that is not ready, and an upstream that fails: in words that a person can act on.

use serde_json::{Value, json};

use super::{Desk, project, session, to_the_end};
use crate::containers::{owner, running};
use crate::support::server::Server;
use crate::support::upstream::{Failure, Reply, Turn, Upstream};

const SETTING: &str = "[ai] anthropic_api_key_file";

#[tokio::test]
async fn without_a_key_the_missing_setting_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let upstream = Upstream::with_turns(vec![]).await;
    let unset = Server::builder().set("ai.anthropic_base_url", upstream.url());
    let empty = Server::builder()
        .set("ai.anthropic_base_url", upstream.url())
        .set("ai.anthropic_api_key_file", key.to_str().unwrap());
    for (builder, file) in [(unset, None), (empty, Some(&key))] {
        if let Some(file) = file {
            std::fs::write(file, " \n").unwrap();
        }
        let server = builder.start().await;
        let api = owner(&server).await;
        let workspace = api.workspace().await;
        let status = format!("/workspaces/{workspace}/ai");
        let now = api.get(&status).await.ok();
        assert_eq!(
            (&now["ready"], &now["missing_setting"]),
            (&json!(false), &json!(SETTING))
        );
        let container = running(&api).await;
        let (project, _) = project(&api, &workspace, &container, "Shop").await;
        let session = session(&api, &workspace, &project, &container).await;
        let messages = format!("{session}/messages");
        let refused = api.post(&messages, &json!({"text": "Hi"})).await;
        let refused = refused.problem(409, "conflict");
        assert!(
            refused["detail"].as_str().unwrap().contains(SETTING),
            "{refused}"
        );
        for text in ["", " \n", &"x".repeat(200_001)] {
            let refused = api.post(&messages, &json!({"text": text})).await;
            refused.problem(422, "unprocessable");
        }
        if let Some(file) = file {
            // The operator puts the key there: no restart is needed.
            std::fs::write(file, upstream.key()).unwrap();
            let now = api.get(&status).await.ok();
            assert_eq!(
                (&now["ready"], &now["missing_setting"]),
                (&json!(true), &Value::Null)
            );
        }
    }
    assert!(upstream.calls().is_empty());
}

#[tokio::test]
async fn what_the_upstream_says_is_told_in_words_and_the_session_goes_on() {
    let long = Turn::text("This answer will not come to its end, whatever happens.");
    let refused = Failure::new(401, "authentication_error", "invalid x-api-key");
    let replies: Vec<Reply> = vec![
        refused.into(),
        Failure::rate_limited(60).into(),
        Failure::overloaded().into(),
        Failure::overloaded().into(),
        Failure::overloaded().into(),
        Failure::overloaded().into(),
        Turn::text("At last.").into(),
        long.clone().breaking_after(5, Failure::overloaded()).into(),
        long.cut_after(5).into(),
        Turn::text("Fine.").into(),
    ];
    let upstream = Upstream::start(move |_, count| replies[count].clone()).await;
    let mut desk = Desk::new(upstream).await;
    let mut stream = desk.events("0").await;
    for (expected, requests) in [
        (Some(SETTING), 1),
        (Some("Try again in 60 seconds"), 1),
        (Some("overloaded. Try again in a minute"), 3),
        // Tried again, and well.
        (None, 2),
        (Some("broke off. The model's service says: Overloaded"), 1),
        (Some("broke off: the connection"), 1),
        (None, 1),
    ] {
        let before = desk.upstream.message_calls().len();
        desk.say("Please, answer.").await;
        let events = to_the_end(&mut stream).await;
        let error = events.iter().find(|event| event["type"] == "error");
        let done = events.last().unwrap();
        match expected {
            Some(words) => {
                let message = error.unwrap()["message"].as_str().unwrap();
                assert!(message.contains(words), "{message}");
                assert_eq!(done["stop_reason"], "error");
            }
            None => assert_eq!(
                (error, &done["stop_reason"]),
                (None, &json!("end_turn")),
                "{events:?}"
            ),
        }
        assert_eq!(
            desk.upstream.message_calls().len() - before,
            requests,
            "{events:?}"
        );
    }
    desk.nothing_leaked().await;

    // Gone altogether.
    desk.upstream = Upstream::with_turns(vec![]).await;
    desk.say("Please, answer.").await;
    let events = to_the_end(&mut stream).await;
    let error = events.iter().find(|event| event["type"] == "error");
    let message = error.unwrap()["message"].as_str().unwrap();
    assert!(message.contains("cannot be reached"), "{message}");
    assert!(!message.contains("127.0.0.1"), "{message}");
}
