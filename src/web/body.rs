//! axum's extractors with problems for rejections.

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{Code, Problem};

/// Path parameters. One that does not parse names nothing: 404, as for an absent thing.
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains("%00") {
            // No name has a NUL character, and PostgreSQL's text cannot hold one.
            return Err(Problem::not_found());
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// Query parameters.
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::new(
                Code::BadRequest,
                "The query of the address holds a NUL character (%00), which no value can have. Remove it.",
            ));
        }
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(
                Code::BadRequest,
                format!(
                    "The query of the address is not right: {}. Correct it.",
                    rejection.body_text()
                ),
            )),
        }
    }
}

/// A body must have arrived within this time.
const READ: std::time::Duration = std::time::Duration::from_secs(30);

/// A JSON body, or a JSON answer. A text in it has no NUL character: PostgreSQL's text cannot hold one.
pub struct Json<T>(pub T);

async fn read_json<T: DeserializeOwned, S: Send + Sync>(
    request: Request,
    state: &S,
) -> Result<T, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "The body must be JSON. Send it with the header Content-Type: application/json.",
        ));
    }
    let bytes = Bytes::from_request(request, state).await;
    let bytes = bytes.map_err(|rejection| rejected(&rejection.into()))?;
    if holds_nul(&bytes) {
        return Err(Problem::new(
            Code::Unprocessable,
            "A text in the body holds a NUL character (\\u0000), which no value can have. Remove it.",
        ));
    }
    let axum::Json(value) =
        axum::Json::from_bytes(&bytes).map_err(|rejection| rejected(&rejection))?;
    Ok(value)
}

fn rejected(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::JsonDataError(error) => Problem::new(
            Code::Unprocessable,
            format!(
                "The body is JSON but not what this route takes: {}.",
                error.body_text()
            ),
        ),
        rejection if rejection.status().as_u16() == 413 => Problem::new(
            Code::TooLarge,
            "The body is larger than this route takes. Send less.",
        ),
        rejection => Problem::new(
            Code::BadRequest,
            format!("The body is not JSON: {}.", rejection.body_text()),
        ),
    }
}

/// Whether JSON text has a NUL character in a string: only as an escape can it stand there.
fn holds_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = rest.get(at + 1..).unwrap_or_default();
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = tokio::time::timeout(READ, read_json(request, state)).await;
        read.map_err(|_| super::forms::too_slow())?.map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_escaped_nul_is_a_nul() {
        for nul in [
            r#"{"a":"\u0000"}"#,
            r#"["x\\\u0000"]"#,
            r#"{"\u0000":1}"#,
            r#""\u00001""#,
        ] {
            assert!(holds_nul(nul.as_bytes()), "{nul}");
        }
        for fine in [
            r#"{"a":"\\u0000"}"#,
            r#""\u0001""#,
            r#""u0000""#,
            r#""\"#,
            "",
        ] {
            assert!(!holds_nul(fine.as_bytes()), "{fine}");
        }
    }
}
