//! A [`Problem`] as a response: RFC 9457 JSON here; the middleware turns it into a page for browsers.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::kernel::Problem;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The body is written by the middleware, which knows the request id and what the client accepts.
        let mut response = StatusCode::from_u16(self.code.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            .into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The JSON form with its request id.
pub fn json_response(problem: &Problem, request_id: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": problem.code.title(),
        "status": problem.code.status(),
        "code": problem.code.as_str(),
        "detail": problem.detail,
        "request_id": request_id,
    });
    let mut response = (
        StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        body.to_string(),
    )
        .into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}
