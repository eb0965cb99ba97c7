//! Errors of the gateway in the shape that clients of the Messages API read.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::super::key::KeyError;
use super::super::redaction::RedactionError;
use super::super::upstream::UpstreamError;
use crate::kernel::{Code, Problem};
use crate::redactor::RedactorError;

/// An error of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayError {
    status: u16,
    kind: &'static str,
    message: String,
    /// Seconds after which the client may try again.
    retry_after: Option<u64>,
}

impl GatewayError {
    /// The request cannot be passed on as it is.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: 400,
            kind: "invalid_request_error",
            message: message.into(),
            retry_after: None,
        }
    }

    /// The gateway has no such address.
    pub fn no_such_address() -> Self {
        Self {
            status: 404,
            kind: "not_found_error",
            message: "OptiDev's gateway has /ai/v1/messages, /ai/v1/messages/count_tokens and /ai/v1/models.".to_owned(),
            retry_after: None,
        }
    }

    /// The gateway has the address, for another method.
    pub fn no_such_method() -> Self {
        Self {
            status: 405,
            kind: "invalid_request_error",
            message: "this address does not take that method. The header Allow lists those that it takes.".to_owned(),
            retry_after: None,
        }
    }

    /// What the request rested on has ended meanwhile.
    pub fn ended() -> Self {
        Self {
            status: 401,
            kind: "authentication_error",
            message: "the token or session of this request has ended, or its user's right to the assistant.".to_owned(),
            retry_after: None,
        }
    }

    /// The body is in a form that nobody can look through for secrets.
    pub fn encoded(encoding: &str) -> Self {
        Self::invalid(format!(
            "the body comes with Content-Encoding {encoding:?}, in which OptiDev cannot look for secrets. Send it as it is, \
             without an encoding."
        ))
    }

    /// The body came too slowly.
    pub fn too_slow(limit: Duration) -> Self {
        let message = format!(
            "the body did not arrive within {} s. Send it again.",
            limit.as_secs()
        );
        Self {
            status: 408,
            kind: "invalid_request_error",
            message,
            retry_after: None,
        }
    }

    /// The account has as many bytes under way as one may have.
    pub fn too_much_of_one(limit: usize) -> Self {
        let message = format!(
            "requests with {} MiB of this user are being passed on, which is the most at a time. Wait for some of them.",
            limit >> 20
        );
        Self {
            status: 429,
            kind: "rate_limit_error",
            message,
            retry_after: Some(1),
        }
    }

    /// All accounts together have as many bytes under way as the server takes.
    pub fn too_much_of_all() -> Self {
        Self {
            // What an SDK knows as the API's own word for it; it tries again by itself.
            status: 529,
            kind: "overloaded_error",
            message: "OptiDev's gateway is passing on as much as it can at a time. Try again."
                .to_owned(),
            retry_after: Some(1),
        }
    }

    /// The body is over the limit.
    pub fn too_large(limit: usize) -> Self {
        let message = format!(
            "the body has more than {} MiB, which is the most that OptiDev passes on",
            limit >> 20
        );
        Self {
            status: 413,
            kind: "request_too_large",
            message,
            retry_after: None,
        }
    }
}

impl From<Problem> for GatewayError {
    fn from(problem: Problem) -> Self {
        if let Some(cause) = &problem.cause {
            tracing::error!(cause, "the gateway failed");
        }
        let (status, kind) = match problem.code {
            Code::Unauthenticated => (401, "authentication_error"),
            Code::Forbidden | Code::ReauthenticationRequired => (403, "permission_error"),
            Code::NotFound => (404, "not_found_error"),
            Code::TooLarge => (413, "request_too_large"),
            Code::RateLimited => (429, "rate_limit_error"),
            Code::Unavailable => (529, "overloaded_error"),
            Code::Internal | Code::BadGateway => (500, "api_error"),
            code => (code.status(), "invalid_request_error"),
        };
        Self {
            status,
            kind,
            message: problem.detail.into_owned(),
            retry_after: problem
                .retry_after
                .map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        }
    }
}

impl From<UpstreamError> for GatewayError {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Key(KeyError::Vault(cause)) => Problem::from(cause).into(),
            UpstreamError::Key(KeyError::Store(cause)) => Problem::from(cause).into(),
            // The status that the setting's absence has everywhere: the operator can act, the client cannot.
            UpstreamError::Key(error) => Self {
                status: 503,
                kind: "api_error",
                message: format!("OptiDev's gateway is not ready: {error}"),
                retry_after: None,
            },
            UpstreamError::Outbound(error) => {
                let cause = std::error::Error::source(&error)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                tracing::warn!(%error, cause, "the upstream did not answer");
                Self {
                    status: 502,
                    kind: "api_error",
                    message: "the upstream did not answer OptiDev. Try again.".to_owned(),
                    retry_after: None,
                }
            }
        }
    }
}

impl From<RedactionError> for GatewayError {
    fn from(error: RedactionError) -> Self {
        let status = 503;
        match &error {
            RedactionError::Redactor(
                error @ (RedactorError::TextTooLarge | RedactorError::Unsendable(_)),
            ) => {
                return Self::invalid(format!("OptiDev did not pass this request on: {error}."));
            }
            RedactionError::Beside => {
                return Self::invalid(format!("OptiDev did not pass this request on: {error}."));
            }
            RedactionError::Redactor(RedactorError::TooManyValues(why)) => {
                return Self {
                    status,
                    kind: "api_error",
                    message: format!(
                        "OptiDev cannot look for this workspace's secrets, so nothing was passed on: {why}."
                    ),
                    retry_after: None,
                };
            }
            _ => {}
        }
        Self {
            status,
            kind: "api_error",
            message: "OptiDev could not look through this request for the workspace's secrets, so it was not passed on. Try \
                      again; if it stays so, ask whoever looks after OptiDev."
                .to_owned(),
            retry_after: Some(1),
        }
    }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        let body =
            json!({ "type": "error", "error": { "type": self.kind, "message": self.message } });
        let mut response = (
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Json(body),
        )
            .into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
