//! Pages that a preview shows when the application in the container does not answer.

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;

#[derive(Template)]
#[template(path = "preview/message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    /// Seconds until it loads itself again; 0 for never.
    again: u32,
    console: &'a str,
}

/// A page for a person, or the same sentence as text for everything else.
pub fn message(
    status: StatusCode,
    (title, text): (&str, &str),
    again: u32,
    console: &str,
    asked: &HeaderMap,
) -> Response<Body> {
    let html = asked
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let page = Message { title, text, again, console };
    let body = if html { page.render().ok() } else { None };
    let mut response = match body {
        Some(page) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response(),
        None => (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{title}. {text}\n")).into_response(),
    };
    let headers = response.headers_mut();
    let policy = format!("default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self' {console}");
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
