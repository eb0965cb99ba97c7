//! The gateway as an SDK uses it: bytes as they are in both directions, our token swapped for the upstream's key, and
//! errors in the shape of the Messages API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::containers::{member, owner};
use crate::support::api::{Answer, Api};
use crate::support::eventually;
use crate::support::server::{Builder, Server};
use crate::support::upstream::{Failure, Turn, Upstream};

const LIMIT: Duration = Duration::from_secs(30);
const KEY: &str = "sk-ant-test-0123456789";

/// A body that nothing can have parsed and written again without a trace.
const QUESTION: &str =
    "{ \"model\":\"m\", \"max_tokens\" : 1.0e1,\n\t\"b\":\"\\u00e9é\",\"a\":[ ] }\r\n\n";

fn with_key(url: &str, key: &str) -> (Builder, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, key).unwrap();
    let builder = Server::builder()
        .set("ai.anthropic_base_url", url)
        .set("ai.anthropic_api_key_file", file.to_str().unwrap());
    (builder, folder)
}

/// A request as the wire's other end saw it.
#[derive(Clone)]
struct Seen {
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

/// An upstream that answers with bytes of the test's own, when the test sends them.
struct Wire {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The pieces of the answer; dropping it ends the answer.
    pieces: Option<mpsc::Sender<Bytes>>,
}

impl Wire {
    async fn start(status: u16, headers: &'static [(&'static str, &'static str)]) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (pieces, receiver) = mpsc::channel::<Bytes>(8);
        let receiver = Arc::new(Mutex::new(Some(receiver)));
        let log = Arc::clone(&seen);
        let answer = move |request: Request| {
            let (log, receiver) = (Arc::clone(&log), Arc::clone(&receiver));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
                log.lock().unwrap().push(Seen {
                    line: format!("{} {}", parts.method, parts.uri),
                    headers: parts.headers,
                    body,
                });
                let receiver = receiver.lock().unwrap().take().unwrap();
                let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
                    let piece = receiver.recv().await?;
                    Some((Ok::<_, std::io::Error>(piece), receiver))
                });
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(*name, *value);
                }
                response.body(Body::from_stream(stream)).unwrap()
            }
        };
        let router = axum::Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            seen,
            pieces: Some(pieces),
        }
    }

    async fn send(&self, piece: impl Into<Bytes>) {
        self.pieces
            .as_ref()
            .unwrap()
            .send(piece.into())
            .await
            .unwrap();
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap()[0].clone()
    }
}

#[tokio::test]
async fn a_stream_passes_byte_for_byte_and_as_it_comes() {
    let mut wire = Wire::start(
        200,
        &[
            ("content-type", "text/event-stream; charset=utf-8"),
            ("request-id", "req_1"),
            ("anthropic-ratelimit-tokens-remaining", "7"),
            ("set-cookie", "upstream=1"),
            ("server", "cloud"),
            ("strict-transport-security", "max-age=1"),
        ],
    )
    .await;
    let (builder, _key) = with_key(&wire.url, &format!("{KEY}\n"));
    let server = builder.start().await;
    let api = owner(&server).await;
    let token = api.token().unwrap();
    let request = api
        .request(reqwest::Method::POST, "//ai/v1/messages?beta=true&x=%2F")
        .header("content-type", "application/json")
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "one,two")
        .header("x-stainless-lang", "js")
        .header("user-agent", "anthropic-sdk/1")
        .header("cookie", "__Host-optidev=cookie-value")
        .header("x-forwarded-for", "198.51.100.7")
        .header("x-secret-of-somebody", "header-value")
        .header("x-optidev-workspace", api.workspace().await)
        .body(QUESTION);
    // Odd on purpose: nothing may depend on its form.
    let pieces: [&[u8]; 4] = [
        b"event: message_start\r\ndata: {\"message\":{\"usage\":{\"input_tokens\":3}}}\r\n\r",
        b"\n\xff\x00\xc3",
        b"\xa9: ping\n\nevent:odd\ndata:{ \"x\" :  1.00 }\n\n",
        b"data: no end",
    ];
    wire.send(pieces[0]).await;
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["request-id"], "req_1");
    assert_eq!(headers["anthropic-ratelimit-tokens-remaining"], "7");
    for gone in ["set-cookie", "server"] {
        assert!(!headers.contains_key(gone), "{headers:?}");
    }
    let mut body = response.bytes_stream();
    let mut got = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            wire.send(*piece).await;
        }
        let expected = pieces[..=index].concat();
        // Each piece is here before the next one is sent.
        while got.len() < expected.len() {
            let more = tokio::time::timeout(LIMIT, body.next()).await;
            got.extend(more.expect("a piece was held back").unwrap().unwrap());
        }
        assert_eq!(got, expected);
    }
    wire.pieces = None;
    assert!(body.next().await.is_none());

    let seen = wire.seen();
    assert_eq!(seen.line, "POST /v1/messages?beta=true&x=%2F");
    assert_eq!(seen.body, QUESTION.as_bytes());
    for (name, value) in [
        ("x-api-key", KEY),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "one,two"),
        ("x-stainless-lang", "js"),
        ("user-agent", "anthropic-sdk/1"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(seen.headers[name], value);
    }
    let sent = format!("{:?}", seen.headers);
    for ours in [
        token,
        "authorization",
        "cookie",
        "optidev",
        "wsp_",
        "198.51.100.7",
        "header-value",
    ] {
        assert!(!sent.contains(ours), "{ours} in {sent}");
    }
    let logs = server.logs();
    assert!(!logs.contains(KEY) && !logs.contains(token));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_upstream_s_work() {
    let wire = Wire::start(200, &[("content-type", "text/event-stream")]).await;
    let (builder, _key) = with_key(&wire.url, KEY);
    let server = builder.start().await;
    let api = owner(&server).await;
    wire.send("data: 1\n\n").await;
    let request = api.request(reqwest::Method::POST, "//ai/v1/messages");
    let mut response = request.body(QUESTION).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let pieces = wire.pieces.clone().unwrap();
    assert!(!pieces.is_closed());
    drop(response);
    eventually("the end of the upstream's answer", LIMIT, || async {
        let _ = pieces.try_send(Bytes::from_static(b": ping\n\n"));
        pieces.is_closed().then_some(())
    })
    .await;
}

#[tokio::test]
async fn errors_of_the_upstream_pass_as_they_are() {
    let said = "{ \"type\":\"error\", \"error\":{\"type\":\"overloaded_error\"} }\n";
    let mut wire = Wire::start(
        529,
        &[
            ("content-type", "application/json"),
            ("retry-after", "7"),
            ("x-should-retry", "true"),
        ],
    )
    .await;
    let (builder, _key) = with_key(&wire.url, KEY);
    let server = builder.start().await;
    let api = owner(&server).await;
    wire.send(said).await;
    wire.pieces = None;
    let answer = ask(&api, "POST", "messages", QUESTION).await.expect(529);
    assert_eq!(answer.text(), said);
    assert_eq!(answer.headers["retry-after"], "7");
    assert_eq!(answer.headers["x-should-retry"], "true");
    // Tried once: trying again is the client's business.
    assert_eq!(wire.seen.lock().unwrap().len(), 1);
}

async fn ask(api: &Api, method: &str, path: &str, body: &str) -> Answer {
    let body = body.to_owned();
    api.send(method, &format!("//ai/v1/{path}"), |request| {
        request
            .header("anthropic-version", "2023-06-01")
            .header("content-type", "application/json")
            .body(body)
    })
    .await
}

/// Checks an error of ours, in the API's shape; its message.
#[track_caller]
fn refused(answer: &Answer, status: u16, kind: &str) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = answer.json();
    assert_eq!(
        (&error["type"], &error["error"]["type"]),
        (&json!("error"), &json!(kind)),
        "{error}"
    );
    let message = error["error"]["message"].as_str().unwrap_or_default();
    assert!(message.len() > 10, "{error}");
    message.to_owned()
}

#[tokio::test]
async fn an_sdk_s_requests_work_with_either_header() {
    let upstream = Upstream::with_turns(vec![
        Turn::text("One."),
        Turn::text("Two."),
        Turn::text("Three."),
    ])
    .await;
    let (builder, _key) = with_key(&upstream.url(), upstream.key());
    let server = builder.start().await;
    let bearer = owner(&server).await;
    let token = bearer.token().unwrap().to_owned();
    let question =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let body = question.to_string();
    let by_key = |method: &'static str, path: &'static str, body: String| {
        let api = server.anonymous();
        let token = token.clone();
        async move {
            api.send(method, &format!("//ai/v1/{path}"), |request| {
                request
                    .header("x-api-key", token)
                    .header("anthropic-version", "2023-06-01")
                    .body(body)
            })
            .await
        }
    };
    let one = ask(&bearer, "POST", "messages", &body).await.ok();
    assert_eq!(one["content"][0]["text"], "One.");
    let two = by_key("POST", "messages", body.clone()).await.ok();
    assert_eq!(two["content"][0]["text"], "Two.");
    let mut streaming = question.clone();
    streaming["stream"] = json!(true);
    let three = by_key("POST", "messages", streaming.to_string()).await;
    assert_eq!(
        three.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert!(three.text().contains("message_stop"));
    let counted = ask(&bearer, "POST", "messages/count_tokens", &body).await;
    assert!(counted.ok()["input_tokens"].as_u64().unwrap() > 0);
    let models = by_key("GET", "models", String::new()).await.ok();
    assert_eq!(models["data"][0]["type"], "model");
    for call in upstream.calls() {
        assert_eq!(call.header("x-api-key"), upstream.key());
        assert!(!call.headers.contains_key("authorization"));
        assert!(!format!("{:?}", call.headers).contains(&token));
    }

    for path in ["//ai", "//ai/"] {
        let here = server.anonymous().send("HEAD", path, |r| r).await;
        assert_eq!(here.expect(200).text(), "");
    }
    // The usage is logged, the words are not.
    let logs = server.logs();
    assert!(
        logs.contains("ai.usage") && logs.contains("gateway"),
        "{logs}"
    );
}

#[tokio::test]
async fn who_may_not_is_told_in_the_api_s_shape_and_nothing_is_sent() {
    let upstream = Upstream::with_turns(vec![]).await;
    let (builder, _key) = with_key(&upstream.url(), upstream.key());
    let server = builder.start().await;
    let ada = owner(&server).await;
    let viewer = member(&server, &ada, "vic@example.com", "viewer").await;
    let limited = server
        .api("ada@example.com", "projects,containers,secrets")
        .await;
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    let workspace = ada.workspace().await;
    let foreign = |id: String| {
        eve.send("POST", "//ai/v1/messages", |request| {
            request.header("x-optidev-workspace", id).body("{}")
        })
    };

    for (method, path) in [
        ("POST", "messages"),
        ("POST", "messages/count_tokens"),
        ("GET", "models"),
    ] {
        let anonymous = server.anonymous();
        refused(
            &ask(&anonymous, method, path, "{}").await,
            401,
            "authentication_error",
        );
        for wrong in ["odv_wrong", "sk-ant-foreign", upstream.key(), ""] {
            let wrong = server.anonymous().with_token(wrong);
            refused(
                &ask(&wrong, method, path, "{}").await,
                401,
                "authentication_error",
            );
        }
        for other in [&viewer, &limited] {
            refused(
                &ask(other, method, path, "{}").await,
                403,
                "permission_error",
            );
        }
    }
    let theirs = refused(&foreign(workspace.clone()).await, 404, "not_found_error");
    let absent = format!("{}zzzz", &workspace[..workspace.len() - 4]);
    assert_eq!(
        theirs,
        refused(&foreign(absent).await, 404, "not_found_error")
    );
    refused(
        &foreign("shop".to_owned()).await,
        400,
        "invalid_request_error",
    );
    // Member of two workspaces: which one is meant must be said.
    let add = |role: &'static str| member(&server, &ada, "eve@example.com", role);
    let eve_in_both = add("user").await;
    let message = refused(
        &ask(&eve_in_both, "POST", "messages", "{}").await,
        400,
        "invalid_request_error",
    );
    assert!(message.contains("x-optidev-workspace"), "{message}");

    for (method, path) in [("GET", "messages"), ("PUT", "messages"), ("POST", "models")] {
        let wrong = ask(&ada, method, path, "").await;
        refused(&wrong, 405, "invalid_request_error");
        assert!(wrong.headers.contains_key("allow"), "{:?}", wrong.headers);
    }
    for path in ["//ai/v1/complete", "//ai/v1/messages/batches", "//ai/x"] {
        let nowhere = ada.send("POST", path, |request| request.body("{}")).await;
        refused(&nowhere, 404, "not_found_error");
    }
    assert!(upstream.calls().is_empty(), "something was passed on");
}

#[tokio::test]
async fn large_bodies_missing_keys_and_an_absent_upstream_are_told() {
    let gone = format!("http://127.0.0.1:{}", crate::support::free_port());
    let (builder, _key) = with_key(&gone, KEY);
    let server = builder.start().await;
    let api = owner(&server).await;
    let large = vec![b'x'; (32 << 20) + 1];
    let announced = api
        .post_bytes("//ai/v1/messages", "application/json", large.clone())
        .await;
    assert!(refused(&announced, 413, "request_too_large").contains("32 MiB"));
    // Without a length, and just over the limit: the server knows at the last part, and the client has sent all.
    let parts: Vec<Result<Vec<u8>, std::io::Error>> = large
        .chunks(1 << 20)
        .map(|part| Ok(part.to_vec()))
        .collect();
    let unannounced = api
        .send("POST", "//ai/v1/messages", |request| {
            request.body(reqwest::Body::wrap_stream(futures_util::stream::iter(
                parts,
            )))
        })
        .await;
    refused(&unannounced, 413, "request_too_large");
    let message = refused(&ask(&api, "POST", "messages", "{}").await, 502, "api_error");
    assert!(!message.contains("127.0.0.1"), "{message}");

    let keyless = Server::builder()
        .set("ai.anthropic_base_url", gone)
        .start()
        .await;
    let api = owner(&keyless).await;
    let message = refused(&ask(&api, "POST", "messages", "{}").await, 503, "api_error");
    assert!(message.contains("[ai] anthropic_api_key_file"), "{message}");
}

#[tokio::test]
async fn an_upstream_s_words_about_the_key_stay_the_upstream_s() {
    let upstream = Upstream::start(|_, _| {
        Failure::new(400, "invalid_request_error", "max_tokens: too large").into()
    })
    .await;
    let (builder, _key) = with_key(&upstream.url(), "sk-ant-revoked");
    let server = builder.start().await;
    let api = owner(&server).await;
    let question: Value =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]});
    let answer = ask(&api, "POST", "messages", &question.to_string()).await;
    assert_eq!(
        refused(&answer, 401, "authentication_error"),
        "invalid x-api-key"
    );
    assert!(!answer.text().contains("revoked"));
}
