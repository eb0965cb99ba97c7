//! The session cookie.

use axum::http::{HeaderMap, HeaderValue, header};

/// `__Host-` binds the cookie to this host, the whole path, and secure origins; browsers count http://localhost as one.
const NAME: &str = "__Host-optidev";

/// The value of the session cookie in a request, if there is one.
pub fn session_value(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(axum_extra::extract::cookie::Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == NAME)
        .map(|cookie| cookie.value().to_owned())
}

/// A `Set-Cookie` that signs a browser in.
pub fn session_cookie(value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!(
        "{NAME}={value}; Path=/; Secure; HttpOnly; SameSite=Lax"
    ))
    .ok()
}

/// A `Set-Cookie` that signs a browser out.
pub fn clear_session_cookie() -> HeaderValue {
    HeaderValue::from_static("__Host-optidev=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0")
}
