//! A request to an agent and its answer, passed through piece by piece.

use std::time::Duration;

use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use axum::response::IntoResponse;

use super::access::Inside;
use crate::clients::agent::{self, AgentError};
use crate::kernel::{Code, Problem};
use crate::web::cut_when;

/// Headers of a request that an agent gets to see. No cookie and no token is among them.
const TO_AGENT: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::RANGE,
    header::ACCEPT,
];
/// Headers of an agent's answer that are passed on. The answer can be user code's.
const FROM_AGENT: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// Longest wait for the head of an answer; while an upload goes on, the clock stands still.
const HEAD: Duration = Duration::from_secs(60);
/// The same for commands, which answer when they have ended: an hour at most, says the agent.
const COMMAND: Duration = Duration::from_secs(3_660);

/// What of the answer's media type is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// JSON or an event stream, made by the agent.
    Protocol,
    /// A file of the user.
    File,
    /// JSON, when a command has ended.
    Command,
}

/// Sends the request to `path` of the agent and passes its answer on.
pub async fn relay(
    inside: &Inside,
    method: Method,
    path: &str,
    headers: &HeaderMap,
    body: Body,
    media: Media,
) -> Result<Response<Body>, Problem> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .body(agent::stream(body))
        .map_err(|_| {
            Problem::new(
                Code::BadRequest,
                "The address holds characters that are not allowed there.",
            )
        })?;
    copy(headers, request.headers_mut(), &TO_AGENT);
    let limit = if media == Media::Command {
        COMMAND
    } else {
        HEAD
    };
    let mut lost = Box::pin(inside.standing().lost());
    let answer = tokio::select! {
        answer = inside.entered.agent.request_within(request, limit) => answer,
        // Uploads and commands of somebody who has lost the right to them.
        () = &mut lost => return Err(Problem::not_found()),
    };
    let answer = answer.map_err(|error| too_large_or(error, headers))?;
    let status = answer.status();
    if status.is_client_error() || status.is_server_error() {
        return refused(inside, answer).await;
    }
    if !status.is_success() && status != StatusCode::NOT_MODIFIED {
        return Err(AgentError::Protocol(format!("status {status}")).into());
    }
    let (parts, body) = answer.into_parts();
    let body = Body::new(body);
    let mut response = Response::new(if is_events(&parts.headers) {
        cut_when(inside.standing().ended(), body)
    } else {
        cut_when(lost, body)
    });
    *response.status_mut() = status;
    copy(&parts.headers, response.headers_mut(), &FROM_AGENT);
    confine(response.headers_mut(), headers, media);
    Ok(response)
}

/// Whether an answer goes on until its client has enough of it.
pub fn is_events(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// Query and path of the agent for a request: `prefix` and what follows `after` in the request's path, as it was
/// written. The agent decodes it once and confines it.
pub fn rest_of<'a>(uri: &'a axum::http::Uri, after: &str) -> &'a str {
    uri.path()
        .find(after)
        .and_then(|at| uri.path().get(at + after.len()..))
        .unwrap_or_default()
}

/// `path` with the request's query.
pub fn with_query(path: &str, uri: &axum::http::Uri) -> String {
    match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// Makes sure that nothing of the answer can act in the console's origin.
fn confine(answer: &mut HeaderMap, asked: &HeaderMap, media: Media) {
    let kind = answer
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let picture = matches!(
        kind.as_str(),
        "image/png"
            | "image/jpeg"
            | "image/gif"
            | "image/webp"
            | "image/avif"
            | "image/bmp"
            | "image/x-icon"
    );
    let allowed = match media {
        Media::Protocol | Media::Command => matches!(
            kind.as_str(),
            "application/json" | "text/event-stream" | "application/gzip" | ""
        ),
        Media::File => picture || kind == "text/plain",
    };
    if !allowed {
        answer.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
    }
    let by_script = asked
        .get("sec-fetch-dest")
        .is_some_and(|dest| dest == "empty" || (dest == "image" && picture));
    if media == Media::File && !by_script {
        answer.insert(
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment"),
        );
    }
    answer.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    answer.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// The agent's refusal as ours. When a precondition failed, the current tag goes with it, so that an editor can ask what
/// to do.
async fn refused(
    inside: &Inside,
    answer: Response<hyper::body::Incoming>,
) -> Result<Response<Body>, Problem> {
    let error = inside.entered.agent.refusal(answer).await;
    let etag = match &error {
        AgentError::Refused {
            status: 412, etag, ..
        } => etag.clone(),
        _ => return Err(error.into()),
    };
    let problem = Problem::from(error);
    let body = serde_json::json!({
        "type": "about:blank",
        "title": problem.code.title(),
        "status": problem.code.status(),
        "code": problem.code.as_str(),
        "detail": problem.detail,
        "etag": etag,
        "request_id": inside.ctx.request_id,
    });
    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
    Ok((StatusCode::PRECONDITION_FAILED, kind, body.to_string()).into_response())
}

/// An upload that was cut off because it is too large looks like a broken connection from here.
fn too_large_or(error: AgentError, headers: &HeaderMap) -> Problem {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let text = error.to_string();
    if text.contains("length limit exceeded")
        || length.is_some_and(|length| length > super::LARGEST_FILE as u64)
    {
        return Problem::new(Code::TooLarge, "A file can have 4 GiB at most. Send less.");
    }
    error.into()
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        for value in from.get_all(name) {
            to.append(name, value.clone());
        }
    }
}
