//! An upstream that speaks Anthropic's Messages API from a script: what it answers is the test's, how is the wire's.
//!
//! Checks each request as the real API does (key, version, required fields, every tool_use followed by its tool_result)
//! and keeps every request, byte for byte, for the test to look at.

mod check;
mod script;
#[cfg(test)]
mod selftest;
mod stream;

pub use script::{Failure, Reply, Turn};

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    pub headers: HeaderMap,
    /// The body byte for byte.
    pub raw: Bytes,
    /// The body parsed; null when it is no JSON.
    pub body: Value,
}

impl Call {
    /// The content of the last message, as JSON.
    pub fn last_content(&self) -> &Value {
        self.body["messages"]
            .as_array()
            .and_then(|messages| messages.last())
            .map_or(&Value::Null, |message| &message["content"])
    }

    /// The results of the tools which the last message brings: (tool_use_id, text, is_error).
    pub fn tool_results(&self) -> Vec<(String, String, bool)> {
        let blocks = self.last_content().as_array().cloned().unwrap_or_default();
        let results = blocks.iter().filter(|block| block["type"] == "tool_result");
        results
            .map(|block| {
                let text = match &block["content"] {
                    Value::String(text) => text.clone(),
                    Value::Array(parts) => parts
                        .iter()
                        .filter_map(|part| part["text"].as_str())
                        .collect(),
                    _ => String::new(),
                };
                (
                    block["tool_use_id"].as_str().unwrap_or_default().to_owned(),
                    text,
                    block["is_error"] == true,
                )
            })
            .collect()
    }

    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// What decides the answer to `POST /v1/messages`: the request and how many came before it.
type Script = Box<dyn FnMut(&Call, usize) -> Reply + Send>;

struct Shared {
    key: String,
    script: Mutex<Script>,
    /// Every request that was served, checked or not.
    calls: Mutex<Vec<Call>>,
    /// `POST /v1/messages` that passed the checks.
    answered: Mutex<usize>,
}

/// The running server; dropping it closes its port.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    /// Answers `turns` in order; afterwards an error that says that the script has ended.
    pub async fn with_turns(turns: Vec<Turn>) -> Self {
        Self::with_turns_at("127.0.0.1:0", turns).await
    }

    /// The same at an address that others than this machine reach.
    pub async fn with_turns_at(address: &str, turns: Vec<Turn>) -> Self {
        let mut turns = turns.into_iter();
        Self::start_at(address, move |_, count| {
            let turn = turns.next().map(Reply::Turn);
            turn.unwrap_or_else(|| {
                Reply::Error(Failure::new(
                    500,
                    "api_error",
                    &format!("the script has no turn {count}"),
                ))
            })
        })
        .await
    }

    /// Answers what `script` says for a request and the number of answers before it.
    pub async fn start(script: impl FnMut(&Call, usize) -> Reply + Send + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script).await
    }

    async fn start_at(
        address: &str,
        script: impl FnMut(&Call, usize) -> Reply + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            key: "sk-ant-test-upstream-0123456789".to_owned(),
            script: Mutex::new(Box::new(script)),
            calls: Mutex::default(),
            answered: Mutex::default(),
        });
        let router = Router::new()
            .route("/", any(|| async { StatusCode::OK }))
            .route("/v1/messages", post(messages))
            .route("/v1/messages/count_tokens", post(count_tokens))
            .route("/v1/models", get(models))
            .fallback(unknown)
            .layer(axum::extract::DefaultBodyLimit::max(64 << 20))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            task,
        }
    }

    /// `http://127.0.0.1:<port>`, the base to which `/v1/messages` is appended.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The only key that it takes.
    pub fn key(&self) -> &str {
        &self.shared.key
    }

    /// Every request so far.
    pub fn calls(&self) -> Vec<Call> {
        self.shared
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The requests to `POST /v1/messages` so far.
    pub fn message_calls(&self) -> Vec<Call> {
        self.calls()
            .into_iter()
            .filter(|call| call.uri.path() == "/v1/messages")
            .collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps the request and checks who asks.
fn admit(
    shared: &Shared,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    raw: Bytes,
) -> Result<Call, Failure> {
    let body = serde_json::from_slice(&raw).unwrap_or(Value::Null);
    let call = Call {
        method,
        uri,
        headers,
        raw,
        body,
    };
    shared
        .calls
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(call.clone());
    check::credentials(&call, &shared.key)?;
    Ok(call)
}

async fn messages(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    let call = match admit(&shared, method, uri, headers, raw)
        .and_then(|call| check::message(&call.body).map(|()| call))
    {
        Ok(call) => call,
        Err(failure) => return failed(failure),
    };
    let count = {
        let mut answered = shared
            .answered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *answered += 1;
        *answered
    };
    let reply = (shared.script.lock().unwrap_or_else(PoisonError::into_inner))(&call, count - 1);
    let turn = match reply {
        Reply::Turn(turn) => turn,
        Reply::Error(failure) => return failed(failure),
    };
    let message = stream::Message::new(&call.body, &turn, count);
    let response = Response::builder()
        .header("request-id", format!("req_{count:024}"))
        .header("anthropic-ratelimit-requests-limit", "1000")
        .header("anthropic-ratelimit-requests-remaining", "999");
    if call.body["stream"] == true {
        let response = response
            .header("content-type", "text/event-stream; charset=utf-8")
            .header("cache-control", "no-cache");
        return response
            .body(Body::from_stream(stream::bytes(message.events(), &turn)))
            .unwrap();
    }
    tokio::time::sleep(turn.delay).await;
    response
        .header("content-type", "application/json")
        .body(Body::from(message.whole().to_string()))
        .unwrap()
}

async fn count_tokens(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    match admit(&shared, method, uri, headers, raw) {
        Ok(call) => axum::Json(json!({"input_tokens": stream::tokens(&call.raw)})).into_response(),
        Err(failure) => failed(failure),
    }
}

async fn models(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Err(failure) = admit(&shared, method, uri, headers, Bytes::new()) {
        return failed(failure);
    }
    let id = "claude-sonnet-4-5-20250929";
    let model = json!({"type": "model", "id": id, "display_name": "Claude Sonnet 4.5", "created_at": "2025-09-29T00:00:00Z"});
    axum::Json(json!({"data": [model], "has_more": false, "first_id": id, "last_id": id}))
        .into_response()
}

async fn unknown(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    match admit(&shared, method, uri, headers, raw) {
        Ok(_) => failed(Failure::new(
            404,
            "not_found_error",
            &format!("Not found: {path}"),
        )),
        Err(failure) => failed(failure),
    }
}

fn failed(failure: Failure) -> Response {
    let mut response = Response::builder()
        .status(failure.status)
        .header("content-type", "application/json")
        .header("request-id", "req_failed");
    for (name, value) in &failure.headers {
        response = response.header(name, value);
    }
    response
        .body(Body::from(failure.body().to_string()))
        .unwrap()
}
