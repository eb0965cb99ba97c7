//! The pass-through against a scripted upstream: bytes, headers, statuses, and clients that leave.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method};
use bytes::Bytes;
use http_body_util::BodyExt;

use super::super::testing::{KEY, Script, Scripted, error};
use super::headers;
use super::pass::forward;
use super::problem::GatewayError;
use super::tap::Account;
use crate::kernel::{Clock, Rng, UserId, WorkspaceId};

fn account() -> Account {
    let clock = Clock::fixed(1);
    Account {
        workspace: WorkspaceId::new(&clock, &Rng),
        user: UserId::new(&clock, &Rng),
    }
}

fn client_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer odv_token"),
        ("x-api-key", "odv_token"),
        ("cookie", "session=secret"),
        ("x-optidev-workspace", "wsp_x"),
        ("content-type", "application/json"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "one,two"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

#[tokio::test]
async fn bytes_pass_as_they_are_in_both_directions_and_the_key_is_swapped() {
    // Not an event stream as anybody would write it: nothing may depend on its form.
    let chunks: Vec<Vec<u8>> = vec![
        b"event: message_start\r\ndata: {\"message\":{\"usage\":{\"input_tokens\":3}}}\r\n\r"
            .to_vec(),
        vec![b'\n', 0xff, 0x00, 0xc3],
        vec![0xa9],
        b": ping\n\nevent:unknown_thing\ndata:{ \"weird\" :  1.00 }\n\n".to_vec(),
        vec![b'x'; 100_000],
    ];
    let whole: Vec<u8> = chunks.concat();
    let script = Script {
        status: 200,
        headers: vec![
            ("content-type", "text/event-stream".to_owned()),
            ("request-id", "req_1".to_owned()),
            ("anthropic-ratelimit-tokens-remaining", "7".to_owned()),
            ("set-cookie", "upstream=1".to_owned()),
        ],
        chunks,
        hangs: false,
    };
    let (upstream_side, upstream) = Scripted::start(vec![script]).await;
    let body = Bytes::from_static(b"{ \"b\" : 1.0,\n \"a\":\"\\u00e9\" }\n\n");
    let sent = headers::to_upstream(&client_headers());
    let answer = forward(
        &upstream,
        account(),
        Method::POST,
        "/v1/messages",
        Some("beta=true&x=%2F"),
        sent,
        body.clone(),
    )
    .await
    .unwrap();
    assert_eq!(answer.headers()["request-id"], "req_1");
    assert_eq!(
        answer.headers()["anthropic-ratelimit-tokens-remaining"],
        "7"
    );
    assert!(!answer.headers().contains_key("set-cookie"));
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        whole
    );
    let asked = upstream_side.asked.lock().unwrap();
    assert_eq!(asked[0].path, "/v1/messages?beta=true&x=%2F");
    assert_eq!(asked[0].body, body);
    assert_eq!(asked[0].headers["x-api-key"], KEY);
    assert_eq!(asked[0].headers["anthropic-beta"], "one,two");
    let all = format!("{:?}", asked[0].headers);
    for secret in [
        "odv_token",
        "session=secret",
        "wsp_x",
        "authorization",
        "cookie",
    ] {
        assert!(
            !all.contains(secret),
            "{secret} reached the upstream: {all}"
        );
    }
}

#[tokio::test]
async fn pieces_are_passed_on_as_they_come() {
    let script = Script {
        status: 200,
        headers: vec![("content-type", "text/event-stream".to_owned())],
        chunks: vec![b"data: first\n\n".to_vec()],
        hangs: true,
    };
    let (upstream_side, upstream) = Scripted::start(vec![script]).await;
    let answer = forward(
        &upstream,
        account(),
        Method::POST,
        "/v1/messages",
        None,
        HeaderMap::new(),
        Bytes::new(),
    )
    .await;
    let mut body = answer.unwrap().into_body();
    // The upstream has not ended, and the first piece is here.
    let frame = tokio::time::timeout(Duration::from_secs(2), body.frame())
        .await
        .expect("a piece in time");
    assert_eq!(
        frame.unwrap().unwrap().into_data().unwrap(),
        Bytes::from_static(b"data: first\n\n")
    );
    // The client leaves: the upstream's answer is given up.
    assert_eq!(upstream_side.ended.load(Ordering::SeqCst), 0);
    drop(body);
    for _ in 0..100 {
        if upstream_side.ended.load(Ordering::SeqCst) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the upstream still sends to a client that has left");
}

#[tokio::test]
async fn errors_of_the_upstream_pass_as_they_are() {
    let (_, upstream) = Scripted::start(vec![error(429, "slow down", Some(3))]).await;
    let answer = forward(
        &upstream,
        account(),
        Method::POST,
        "/v1/messages",
        None,
        HeaderMap::new(),
        Bytes::new(),
    )
    .await
    .unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "3");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        r#"{"error":{"message":"slow down","type":"x"},"type":"error"}"#
    );
}

#[tokio::test]
async fn without_a_key_the_setting_is_named_in_the_shape_of_the_api() {
    use axum::response::IntoResponse;
    let outbound = crate::clients::http::Outbound::new(&crate::config::Config::default()).unwrap();
    let vault = crate::vault::VaultClient::new("/nonexistent".into());
    let key = super::super::key::UpstreamKey::new(vault, None);
    let upstream = super::super::upstream::Upstream::new(outbound, key);
    let refused = forward(
        &upstream,
        account(),
        Method::POST,
        "/v1/messages",
        None,
        HeaderMap::new(),
        Bytes::new(),
    )
    .await;
    let response = refused.unwrap_err().into_response();
    assert_eq!(response.status(), 503);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (body["type"].as_str(), body["error"]["type"].as_str()),
        (Some("error"), Some("api_error"))
    );
    assert!(
        body["error"]["message"]
            .as_str()
            .unwrap()
            .contains("[ai] anthropic_api_key_file"),
        "{body}"
    );
    assert_eq!(
        GatewayError::too_large(32 << 20).into_response().status(),
        413
    );
}
