//! The API's document and a readable page of it.

mod page;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use utoipa::openapi::OpenApi;

use crate::context::Services;

/// The document in the two forms that are served.
pub struct Document {
    json: String,
    groups: Vec<page::Group>,
    version: String,
}

impl Document {
    /// Prepares both forms once.
    ///
    /// # Errors
    /// When the document cannot be written as JSON.
    pub fn new(api: &OpenApi) -> Result<Self, serde_json::Error> {
        let value = serde_json::to_value(api)?;
        Ok(Self {
            json: serde_json::to_string_pretty(&value)?,
            groups: page::groups(&value),
            version: api.info.version.clone(),
        })
    }
}

/// The routes of the document.
pub fn routes(document: Document) -> Router<Services> {
    Router::new()
        .route("/api/v1/openapi.json", get(json))
        .route("/api/docs", get(page::show))
        .layer(Extension(Arc::new(document)))
}

async fn json(
    State(_): State<Services>,
    Extension(document): Extension<Arc<Document>>,
) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        document.json.clone(),
    )
        .into_response()
}
