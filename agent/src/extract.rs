//! Request parts with problems instead of axum's plain-text rejections.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::home::RelPath;
use crate::problem::Problem;

/// The largest JSON body.
const JSON_MAX: usize = 1 << 20;

/// A JSON body of at most 1 MiB.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        json(request.into_body(), JSON_MAX).await.map(Self)
    }
}

/// Reads and parses a JSON body of at most `limit` bytes.
pub async fn json<T: DeserializeOwned>(body: Body, limit: usize) -> Result<T, Problem> {
    let bytes = collect(body, limit).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(format!("The body is not the JSON expected here: {error}."))
    })
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk
            .map_err(|error| Problem::bad_request(format!("The body ended early: {error}.")))?;
        if all.len() + chunk.len() > limit {
            return Err(Problem::too_large(format!(
                "The JSON body is larger than {limit} bytes; send less."
            )));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.into())
}

/// The query string.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(Problem::bad_request(format!(
                "The query string {:?} is not understood: {}.",
                parts.uri.query().unwrap_or_default(),
                error.body_text()
            ))),
        }
    }
}

/// The checked path after `/v1/files`; empty is the home.
pub struct FilePath(pub RelPath);

impl<S: Send + Sync> FromRequestParts<S> for FilePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(path)) => RelPath::parse(&path).map(Self),
            // The routes for the home itself have no parameter.
            Err(_) if matches!(parts.uri.path(), "/v1/files" | "/v1/files/") => {
                RelPath::parse("").map(Self)
            }
            Err(error) => Err(Problem::bad_request(format!(
                "The path {:?} is not percent-encoded UTF-8: {}.",
                parts.uri.path(),
                error.body_text()
            ))),
        }
    }
}
