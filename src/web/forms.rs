//! POST forms of pages, with the CSRF token in the body.

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, FromRequestParts, Multipart, Request};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::extract::{bad_csrf, csrf_matches, page_ctx};
use super::{Anonymous, PageCtx, PendingSecondFactor};
use crate::context::Services;
use crate::kernel::{Code, Problem};

#[derive(Deserialize)]
struct WithToken {
    #[serde(default)]
    csrf_token: String,
}

#[expect(
    clippy::result_large_err,
    reason = "extractors reject with a Response; it is not on a hot path"
)]
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Response> {
    if bytes.contains(&0) || bytes.windows(3).any(|three| three == b"%00") {
        return Err(nul().into_response());
    }
    serde_urlencoded::from_bytes(bytes).map_err(|error| {
        Problem::new(
            Code::Unprocessable,
            format!("The form is not right: {error}."),
        )
        .into_response()
    })
}

/// What a client is told whose text PostgreSQL could not hold.
fn nul() -> Problem {
    Problem::new(
        Code::Unprocessable,
        "A field of the form holds a NUL character, which no value can have. Remove it.",
    )
}

/// A form's body must be there within this time.
const BODY: std::time::Duration = std::time::Duration::from_secs(30);

async fn body(request: Request) -> Result<axum::body::Bytes, Response> {
    let read = tokio::time::timeout(BODY, axum::body::Bytes::from_request(request, &())).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(rejection)) => Err(Problem::new(
            Code::TooLarge,
            format!("The form could not be read: {}.", rejection.body_text()),
        )
        .into_response()),
        Err(_) => Err(too_slow().into_response()),
    }
}

/// What a client is told whose body did not come.
pub(super) fn too_slow() -> Problem {
    Problem::new(
        Code::BadRequest,
        format!(
            "The body did not arrive within {} s. Send it again.",
            BODY.as_secs()
        ),
    )
}

/// A form of a signed-in person's page.
pub struct PageForm<T> {
    /// Who sent it.
    pub page: PageCtx,
    /// Its fields.
    pub form: T,
}

impl<T: DeserializeOwned> FromRequest<Services> for PageForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, services: &Services) -> Result<Self, Response> {
        let (parts, rest) = request.into_parts();
        let page = page_ctx(&parts, services).await?;
        let bytes = body(Request::from_parts(parts, rest)).await?;
        let token: WithToken = parse(&bytes)?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(
            token.csrf_token.as_bytes(),
            page.csrf.as_bytes(),
        )) {
            return Err(bad_csrf().into_response());
        }
        Ok(Self {
            page,
            form: parse(&bytes)?,
        })
    }
}

/// A multipart form of a signed-in person's page; its first field is `csrf_token`.
pub struct PageMultipart {
    /// Who sent it.
    pub page: PageCtx,
    /// The remaining fields.
    pub fields: Multipart,
}

impl FromRequest<Services> for PageMultipart {
    type Rejection = Response;

    async fn from_request(request: Request, services: &Services) -> Result<Self, Response> {
        let (parts, rest) = request.into_parts();
        let page = page_ctx(&parts, services).await?;
        let mut fields = Multipart::from_request(Request::from_parts(parts, rest), services)
            .await
            .map_err(|error| Problem::new(Code::BadRequest, error.body_text()).into_response())?;
        let first = fields.next_field().await.ok().flatten();
        let token = match first {
            Some(field) if field.name() == Some("csrf_token") => {
                field_text(field).await.unwrap_or_default()
            }
            _ => String::new(),
        };
        if !bool::from(subtle::ConstantTimeEq::ct_eq(
            token.as_bytes(),
            page.csrf.as_bytes(),
        )) {
            return Err(bad_csrf().into_response());
        }
        Ok(Self { page, fields })
    }
}

/// A form of somebody who is not signed in; the origin middleware has checked that our page sent it.
pub struct AnonymousForm<T> {
    /// Who sent it.
    pub from: Anonymous,
    /// Its fields.
    pub form: T,
}

impl<T: DeserializeOwned> FromRequest<Services> for AnonymousForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, services: &Services) -> Result<Self, Response> {
        let (mut parts, rest) = request.into_parts();
        let from = match Anonymous::from_request_parts(&mut parts, services).await {
            Ok(from) => from,
            Err(never) => match never {},
        };
        let bytes = body(Request::from_parts(parts, rest)).await?;
        Ok(Self {
            from,
            form: parse(&bytes)?,
        })
    }
}

/// The form that shows the second factor.
pub struct PendingForm<T> {
    /// The session that still lacks it.
    pub pending: PendingSecondFactor,
    /// The server and the peer.
    pub from: Anonymous,
    /// Its fields.
    pub form: T,
}

impl<T: DeserializeOwned> FromRequest<Services> for PendingForm<T> {
    type Rejection = Response;

    async fn from_request(request: Request, services: &Services) -> Result<Self, Response> {
        let (mut parts, rest) = request.into_parts();
        let pending = PendingSecondFactor::from_request_parts(&mut parts, services).await?;
        let from = match Anonymous::from_request_parts(&mut parts, services).await {
            Ok(from) => from,
            Err(never) => match never {},
        };
        let bytes = body(Request::from_parts(parts, rest)).await?;
        let token: WithToken = parse(&bytes)?;
        if !csrf_matches(&pending.known, &token.csrf_token) {
            return Err(bad_csrf().into_response());
        }
        Ok(Self {
            pending,
            from,
            form: parse(&bytes)?,
        })
    }
}

/// A field that is not right, and the sentence to show beside it.
#[derive(Clone)]
pub struct FieldError {
    /// The field's name in the form; empty for the form as a whole.
    pub field: String,
    /// For the person.
    pub message: String,
}

impl FieldError {
    /// Splits `field: sentence` of a problem where `field` is one of `fields`; else it belongs to `fallback`.
    pub fn of(problem: &Problem, fields: &[&str], fallback: &str) -> Self {
        match problem.detail.split_once(": ") {
            Some((field, rest)) if fields.contains(&field) => Self {
                field: field.to_owned(),
                message: rest.to_owned(),
            },
            _ => Self {
                field: fallback.to_owned(),
                message: problem.detail.to_string(),
            },
        }
    }
}

/// Longest text field of a multipart form, in bytes; its file field has the route's own limit.
const FIELD_LIMIT: usize = 8 * 1024;

/// The text of a multipart field.
///
/// # Errors
/// `too_large` beyond 8 KiB, `bad_request` when the form broke off or the text is not UTF-8.
pub async fn field_text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    loop {
        let chunk = field.chunk().await.map_err(|error| {
            Problem::new(
                Code::BadRequest,
                format!("The form broke off: {}. Send it again.", error.body_text()),
            )
        })?;
        let Some(chunk) = chunk else { break };
        bytes.extend_from_slice(&chunk);
        if bytes.len() > FIELD_LIMIT {
            let name = field
                .name()
                .unwrap_or("")
                .chars()
                .take(40)
                .collect::<String>();
            return Err(Problem::new(
                Code::TooLarge,
                format!("The field {name:?} is longer than {FIELD_LIMIT} bytes. Shorten it."),
            ));
        }
    }
    if bytes.contains(&0) {
        return Err(nul());
    }
    String::from_utf8(bytes)
        .map_err(|_| Problem::new(Code::BadRequest, "A field of the form is not UTF-8 text."))
}
