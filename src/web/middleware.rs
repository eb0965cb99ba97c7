//! What wraps every request: id, nonce, origin check, security headers, the access log, and problems in the form that
//! the client reads.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::chrome::{Chrome, ErrorPage};
use super::problem::json_response;
use crate::context::Services;
use crate::kernel::{Code, Problem};
use crate::metrics;

/// The request's id, in every answer as `x-request-id` and in every log line.
#[derive(Clone)]
pub struct RequestId(pub String);

/// The CSP nonce of the page that this request gets.
#[derive(Clone)]
pub struct Nonce(pub String);

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer of the application's own routes.
pub async fn wrap(State(services): State<Services>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = URL_SAFE_NO_PAD.encode(services.rng.bytes::<12>());
    let nonce = URL_SAFE_NO_PAD.encode(services.rng.bytes::<16>());
    request
        .extensions_mut()
        .insert(RequestId(request_id.clone()));
    request.extensions_mut().insert(Nonce(nonce.clone()));
    let (method, version) = (request.method().clone(), request.version());
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let wants_page = wants_page(&path, request.headers());
    let large = has_large_body(request.headers());

    let mut response = match check_origin(&services, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(problem) = take_problem(&mut response) {
        let headers = std::mem::take(response.headers_mut());
        response = if wants_page {
            ErrorPage::render(Chrome::bare(nonce.clone()), &problem, &request_id)
        } else {
            json_response(&problem, &request_id)
        };
        for (name, value) in &headers {
            if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
                response.headers_mut().append(name, value.clone());
            }
        }
        if problem.code == Code::Unauthenticated && !wants_page {
            // RFC 9110, section 15.5.2.
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .entry(header::WWW_AUTHENTICATE)
                .or_insert(scheme);
        }
        if let Some(wait) = problem.retry_after {
            let seconds = wait.as_millis().div_ceil(1_000).to_string();
            if let Ok(value) = HeaderValue::from_str(&seconds) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        if let Some(cause) = &problem.cause {
            tracing::error!(request_id, cause, "request failed");
        }
    }
    if (response.status() == StatusCode::PAYLOAD_TOO_LARGE
        || (large && response.status().is_client_error()))
        && version < Version::HTTP_2
    {
        // The rest of the body may be more than anybody reads: the client must not put its next request behind it.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        // What is away is started again by somebody within seconds; a moment is all that a client need wait.
        response
            .headers_mut()
            .entry(header::RETRY_AFTER)
            .or_insert(HeaderValue::from_static("1"));
    }
    security_headers(&services, &nonce, response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    metrics::request(
        route.as_deref(),
        method.as_str(),
        response.status().as_u16(),
        started.elapsed(),
    );
    tracing::info!(
        target: "access",
        request_id,
        method = %method,
        // The route and not the path: paths hold names of files.
        route = route.as_deref().unwrap_or("(none)"),
        status = response.status().as_u16(),
        duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    );
    response
}

/// Whether a refusal may come before the body was read: one that is announced as large, or does not say how large it is.
fn has_large_body(headers: &HeaderMap) -> bool {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    length.is_some_and(|length| length > 4 << 10) || headers.contains_key(header::TRANSFER_ENCODING)
}

fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let machine = ["/api/v1", "/ai/", "/healthz", "/readyz"]
        .iter()
        .any(|prefix| path.starts_with(prefix));
    let accepts_html = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    !machine && accepts_html
}

/// A problem that a handler returned, or one for the plain errors that axum answers by itself.
fn take_problem(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let empty = response.headers().get(header::CONTENT_TYPE).is_none();
    let plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    match response.status().as_u16() {
        404 if empty => Some(Problem::not_found()),
        405 if empty => Some(Problem::new(
            Code::MethodNotAllowed,
            "This address does not take that method. The header Allow lists those that it takes.",
        )),
        413 if empty || plain => Some(Problem::new(
            Code::TooLarge,
            "The body is larger than this route takes. Send less.",
        )),
        _ => None,
    }
}

/// Refuses unsafe requests and WebSocket handshakes that a page of another origin sent.
fn check_origin(services: &Services, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let upgrade = headers.contains_key(header::UPGRADE);
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !upgrade {
        return Ok(());
    }
    let refused = || {
        Problem::new(
            Code::Forbidden,
            "The request comes from a page of another site. Open OptiDev itself and repeat it there.",
        )
    };
    let site = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(refused());
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let origin = origin.to_str().unwrap_or_default();
    let same = origin == &*services.public_url
        || origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"))
            == Some(host);
    if same { Ok(()) } else { Err(refused()) }
}

fn security_headers(services: &Services, nonce: &str, headers: &mut HeaderMap) {
    let tls = services.public_url.starts_with("https://");
    let scheme = if tls { "https" } else { "http" };
    let port = url::Url::parse(&services.public_url)
        .ok()
        .and_then(|url| url.port());
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let apps = &services.config.server.apps_domain;
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic' 'self'; style-src 'nonce-{nonce}' 'self'; \
         img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; frame-src {scheme}://*.{apps}{port}; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY)
        && let Ok(value) = HeaderValue::from_str(&policy)
    {
        headers.insert(header::CONTENT_SECURITY_POLICY, value);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if tls {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
}
