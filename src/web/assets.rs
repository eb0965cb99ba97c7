//! Scripts and styles inside the executable, under names that change with their content.

use std::collections::HashMap;
use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use crate::kernel::Problem;

#[derive(RustEmbed)]
#[folder = "assets/dist"]
struct Bundle;

static MANIFEST: OnceLock<HashMap<String, String>> = OnceLock::new();

fn manifest() -> &'static HashMap<String, String> {
    MANIFEST.get_or_init(|| {
        Bundle::get("manifest.json")
            .and_then(|file| serde_json::from_slice(&file.data).ok())
            .unwrap_or_default()
    })
}

/// The address of the file that the bundler made from `name`.
pub fn url(name: &str) -> String {
    format!(
        "/assets/{}",
        manifest().get(name).map_or(name, String::as_str)
    )
}

/// `GET /assets/{file}`
pub async fn serve(Path(name): Path<String>) -> Response {
    let Some(file) = Bundle::get(&name) else {
        return Problem::not_found().into_response();
    };
    let kind = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        _ => "application/octet-stream",
    };
    let mut response = file.data.into_owned().into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // The name holds the content's hash, so the content of a name never changes.
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    response
}
