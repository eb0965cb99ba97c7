//! One answer of the model: asked for, tried again where that makes sense, and streamed to the listeners.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, Method, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::key::{KeyError, SETTING};
use super::super::redaction::{RedactionError, redact};
use super::super::sse::SseParser;
use super::super::upstream::{Upstream, UpstreamError};
use super::pen::Pen;
use super::reply::{Reply, Step};
use crate::clients::http::ResponseBody;
use crate::kernel::Problem;
use crate::redactor::RedactorError;

/// The version of the Messages API that the assistant speaks.
const API_VERSION: &str = "2023-06-01";
/// Tries after the first one.
const RETRIES: u32 = 2;
/// A longer wait is the user's to decide about.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Longest error text of the upstream that is read.
const LARGEST_ERROR: usize = 64 * 1024;

/// How an answer ended.
pub enum Outcome {
    /// All of it came.
    Whole(Reply),
    /// The user stopped it.
    Stopped(Reply),
    /// It broke off, or never came; the sentence says why.
    Failed(Reply, String),
}

/// Asks the model and passes its text on as it comes.
///
/// # Errors
/// The problem ends the turn: what happens could not be written down.
pub async fn ask(
    upstream: &Upstream,
    body: &Value,
    pen: &mut Pen,
    cancel: &CancellationToken,
) -> Result<Outcome, Problem> {
    let mut tried = 0;
    let response = loop {
        // For each try: what is hidden may be another by then.
        let bytes = match redacted(body, pen).await? {
            Ok(bytes) => bytes,
            Err(message) => return Ok(Outcome::Failed(Reply::default(), message)),
        };
        let sent = tokio::select! {
            () = cancel.cancelled() => return Ok(Outcome::Stopped(Reply::default())),
            sent = send(upstream, bytes) => sent,
        };
        let failure = match sent {
            Ok(response) => break response,
            Err(failure) => failure,
        };
        let wait = failure
            .retry_after
            .unwrap_or(Duration::from_secs(1) * 3u32.pow(tried));
        if !failure.again || tried == RETRIES || wait > LONGEST_WAIT {
            return Ok(Outcome::Failed(Reply::default(), failure.message));
        }
        tried += 1;
        tokio::select! {
            () = cancel.cancelled() => return Ok(Outcome::Stopped(Reply::default())),
            () = sleep(wait) => {}
        }
    };
    read(response, pen, cancel).await
}

/// The request without hidden values, or a sentence that says why it does not leave.
async fn redacted(body: &Value, pen: &Pen) -> Result<Result<Bytes, String>, Problem> {
    let grant = pen.grant().await?;
    let bytes = Bytes::from(body.to_string());
    match redact(pen.services(), &grant, bytes).await {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(RedactionError::Redactor(RedactorError::TooManyValues(why))) => Ok(Err(format!(
            "Nothing was sent to the model, because the workspace's secrets cannot be looked for: {why}."
        ))),
        Err(RedactionError::Redactor(RedactorError::Unsendable(why))) => {
            Ok(Err(format!("This was not sent to the model: {why}.")))
        }
        Err(_) => {
            let message = "What would be sent to the model could not be looked through for secrets, so it was not sent. Try \
                           again; if it stays so, ask whoever looks after OptiDev.";
            Ok(Err(message.to_owned()))
        }
    }
}

/// Why there is no answer.
struct Failure {
    message: String,
    /// Whether another try may do better.
    again: bool,
    retry_after: Option<Duration>,
}

async fn send(upstream: &Upstream, body: Bytes) -> Result<Response<ResponseBody>, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("anthropic-version", HeaderValue::from_static(API_VERSION));
    let response = upstream
        .send(Method::POST, "/v1/messages", None, headers, body)
        .await
        .map_err(unsent)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
        .map(Duration::from_secs);
    let said = match Limited::new(response.into_body(), LARGEST_ERROR)
        .collect()
        .await
    {
        Ok(body) => serde_json::from_slice::<Value>(&body.to_bytes())
            .ok()
            .and_then(|error| {
                Some(
                    error
                        .pointer("/error/message")?
                        .as_str()?
                        .chars()
                        .take(500)
                        .collect::<String>(),
                )
            }),
        Err(_) => None,
    };
    let said = said
        .map(|said| format!(" It says: {said}"))
        .unwrap_or_default();
    Err(Failure {
        message: words(status, retry_after, &said),
        again: matches!(status, 408 | 429 | 500..),
        retry_after,
    })
}

fn unsent(error: UpstreamError) -> Failure {
    let (message, again) = match &error {
        UpstreamError::Key(KeyError::Vault(_) | KeyError::Store(_)) => (
            "The vault did not give the upstream key. Try again in a few seconds.".to_owned(),
            true,
        ),
        UpstreamError::Key(error) => (format!("The assistant is not ready: {error}."), false),
        UpstreamError::Outbound(_) => (
            "The model's service cannot be reached from OptiDev. Try again later.".to_owned(),
            true,
        ),
    };
    let cause = std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default();
    tracing::warn!(%error, cause, "the upstream was not reached");
    Failure {
        message,
        again,
        retry_after: None,
    }
}

/// An error status in words.
fn words(status: u16, retry_after: Option<Duration>, said: &str) -> String {
    match status {
        401 | 403 => format!(
            "The model's service refused the key of {SETTING}. Ask the operator to check it.{said}"
        ),
        404 => format!(
            "The model's service does not have what was asked for. Ask the operator to check [ai] model and [ai] anthropic_base_url.{said}"
        ),
        413 => "The conversation is too large for the model's service. Begin a new one.".to_owned(),
        429 => match retry_after {
            Some(wait) => format!(
                "The model's service takes no more requests for now. Try again in {} seconds.",
                wait.as_secs()
            ),
            None => "The model's service takes no more requests for now. Try again in a minute."
                .to_owned(),
        },
        529 => "The model's service is overloaded. Try again in a minute.".to_owned(),
        500.. => format!("The model's service failed ({status}). Try again in a minute.{said}"),
        _ => format!("The model's service did not accept the request ({status}).{said}"),
    }
}

async fn read(
    response: Response<ResponseBody>,
    pen: &mut Pen,
    cancel: &CancellationToken,
) -> Result<Outcome, Problem> {
    let mut body = response.into_body();
    let mut parser = SseParser::default();
    let mut reply = Reply::default();
    loop {
        let frame = tokio::select! {
            () = cancel.cancelled() => return Ok(Outcome::Stopped(reply)),
            frame = body.frame() => frame,
        };
        let Some(Ok(frame)) = frame else {
            let message = "The answer broke off: the connection to the model's service ended. Write a message to go on.";
            return Ok(Outcome::Failed(reply, message.to_owned()));
        };
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        let Ok(events) = parser.feed(bytes) else {
            return Ok(Outcome::Failed(
                reply,
                "The model's service sent more than is understood.".to_owned(),
            ));
        };
        for event in &events {
            match reply.take(event) {
                Step::Text(delta) => pen.text(delta).await?,
                Step::End => return Ok(Outcome::Whole(reply)),
                Step::Error(said) => {
                    return Ok(Outcome::Failed(
                        reply,
                        format!("The answer broke off. The model's service says: {said}"),
                    ));
                }
                Step::Quiet => {}
            }
        }
    }
}
