//! Refusals as RFC 9457 problems; the one error type of the agent's handlers.
//!
//! Always holds: `detail` says what happened, names the value, and what to do.

use std::fmt;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An RFC 9457 problem. Box<str> keeps it small in every Result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: Box<str>,
    pub title: Box<str>,
    pub status: u16,
    pub code: Box<str>,
    pub detail: Box<str>,
    /// Only on 412: the current entity tag, without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<Box<str>>,
    /// The agent leaves this to the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Box<str>>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: title.into(),
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into().into(),
            etag: None,
            request_id: None,
        }
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            "Bad request",
            detail,
        )
    }

    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
    }

    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    pub fn precondition_failed(detail: impl Into<String>, etag: Option<&str>) -> Self {
        let mut problem = Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "Precondition failed",
            detail,
        );
        problem.etag = etag.map(Into::into);
        problem
    }

    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "Too large",
            detail,
        )
    }

    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "unprocessable",
            "Unprocessable",
            detail,
        )
    }

    pub fn rate_limited(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many at once",
            detail,
        )
    }

    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            detail,
        )
    }

    pub fn bad_gateway(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_GATEWAY,
            "unavailable",
            "Bad gateway",
            detail,
        )
    }

    /// What the kernel said about a path, for people. `doing` reads like "read" or "delete".
    #[must_use]
    pub fn from_errno(doing: &str, path: &str, error: Errno) -> Self {
        let shown = Shown(path);
        match error {
            Errno::NOENT => Self::not_found(format!("Cannot {doing} {shown}: it does not exist.")),
            Errno::XDEV => Self::forbidden(format!(
                "Cannot {doing} {shown}: it leads out of the home folder (a link that leaves it, or an absolute link). Use a relative link inside the home."
            )),
            Errno::LOOP => Self::forbidden(format!(
                "Cannot {doing} {shown}: a link on the way is not followed, or links lead in a circle."
            )),
            Errno::NOTDIR => Self::conflict(format!(
                "Cannot {doing} {shown}: a part of the path is not a folder."
            )),
            Errno::ISDIR => Self::conflict(format!("Cannot {doing} {shown}: it is a folder.")),
            Errno::EXIST => Self::conflict(format!("Cannot {doing} {shown}: it exists already.")),
            Errno::NOTEMPTY => Self::conflict(format!(
                "Cannot {doing} {shown}: the folder is not empty; add recursive=1 to delete what is in it."
            )),
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Self::forbidden(format!(
                "Cannot {doing} {shown}: the system refuses it; change its permissions first."
            )),
            Errno::NAMETOOLONG => {
                Self::bad_request(format!("Cannot {doing} {shown}: the name is too long."))
            }
            Errno::NOSPC | Errno::DQUOT => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "too_large",
                "No space left",
                format!("Cannot {doing} {shown}: the disk is full; delete something first."),
            ),
            other => Self::internal(format!("Cannot {doing} {shown}: {other}")),
        }
    }

    /// As [`Problem::from_errno`], for errors of the standard library.
    #[must_use]
    pub fn from_io(doing: &str, path: &str, error: &std::io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(errno) => Self::from_errno(doing, path, errno),
            None => Self::internal(format!("Cannot {doing} {}: {error}", Shown(path))),
        }
    }
}

/// A path in a message: quoted, control characters escaped, cut when long.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(200) {
            Some((cut, _)) => write!(f, "{:?}…", self.0.get(..cut).unwrap_or_default()),
            None if self.0.is_empty() => f.write_str("the home folder"),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Quotes a value for a message.
pub(crate) fn shown(value: &str) -> String {
    Shown(value).to_string()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], Json(self)).into_response()
    }
}
