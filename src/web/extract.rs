//! Who asks.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use subtle::ConstantTimeEq;

use super::admission::caller;
use super::{Nonce, RequestId};
use crate::authz::{Credential, Recognized};
use crate::context::{Ctx, Services};
use crate::kernel::{Code, Problem};

/// Where a browser shows the CSRF token of its session when it calls the API.
const CSRF_HEADER: &str = "x-csrf-token";

/// The address at the other end of the connection; the listener in `app` provides it.
#[derive(Clone, Copy)]
pub struct Peer(pub std::net::SocketAddr);

pub(super) fn request_id(parts: &Parts) -> String {
    parts
        .extensions
        .get::<RequestId>()
        .map(|id| id.0.clone())
        .unwrap_or_default()
}

pub(super) fn nonce(parts: &Parts) -> String {
    parts
        .extensions
        .get::<Nonce>()
        .map(|nonce| nonce.0.clone())
        .unwrap_or_default()
}

/// Recognises the bearer token or the session cookie of a request, whatever its stage.
pub(super) async fn recognize(
    parts: &Parts,
    services: &Services,
) -> Result<Option<Recognized>, Problem> {
    caller(parts, services).await.known.clone()
}

pub(super) fn unauthenticated() -> Problem {
    Problem::new(
        Code::Unauthenticated,
        "Nobody is signed in with this request. Sign in, or send a token as Authorization: Bearer.",
    )
}

pub(super) fn bad_csrf() -> Problem {
    Problem::new(
        Code::Forbidden,
        "The request does not carry this session's form token. Load the page again and repeat.",
    )
}

pub(super) fn csrf_matches(known: &Recognized, shown: &str) -> bool {
    !known.csrf.is_empty() && bool::from(known.csrf.as_bytes().ct_eq(shown.as_bytes()))
}

impl FromRequestParts<Services> for Ctx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let known = recognize(parts, services)
            .await?
            .ok_or_else(unauthenticated)?;
        if known.awaiting_second_factor {
            return Err(unauthenticated());
        }
        // A browser sends its cookie by itself, so an unsafe method must prove that our page sent it. A WebSocket
        // handshake is a GET that acts: the origin middleware has checked it.
        let safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if !safe && matches!(known.actor.credential(), Credential::Session(_)) {
            let shown = parts
                .headers
                .get(CSRF_HEADER)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            if !csrf_matches(&known, shown) {
                return Err(bad_csrf());
            }
        }
        Ok(Self {
            services: services.clone(),
            actor: known.actor,
            request_id: request_id(parts),
        })
    }
}

/// Who asks for a page: like [`Ctx`], but a stranger is sent to the sign-in page, and tokens do not count.
pub struct PageCtx {
    /// The request.
    pub ctx: Ctx,
    /// For the forms of the page.
    pub csrf: String,
    /// For its scripts and styles.
    pub nonce: String,
}

impl FromRequestParts<Services> for PageCtx {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Response> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            // Forms come through PageForm and PageMultipart, which check the token in the body.
            return Err(bad_csrf().into_response());
        }
        page_ctx(parts, services).await
    }
}

/// As [`PageCtx`] without regard to the method; callers check the CSRF token.
pub(super) async fn page_ctx(parts: &Parts, services: &Services) -> Result<PageCtx, Response> {
    let known = recognize(parts, services)
        .await
        .map_err(IntoResponse::into_response)?;
    let path = parts
        .uri
        .path_and_query()
        .map_or("/", |whole| whole.as_str());
    let to_sign_in = || {
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        Redirect::to(&format!("/sign-in?next={next}")).into_response()
    };
    let Some(known) = known else {
        return Err(to_sign_in());
    };
    if !matches!(known.actor.credential(), Credential::Session(_)) {
        return Err(to_sign_in());
    }
    if known.awaiting_second_factor {
        let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
        return Err(Redirect::to(&format!("/sign-in/second-factor?next={next}")).into_response());
    }
    Ok(PageCtx {
        ctx: Ctx {
            services: services.clone(),
            actor: known.actor,
            request_id: request_id(parts),
        },
        csrf: known.csrf,
        nonce: nonce(parts),
    })
}

/// A session that has shown its password and not yet its second factor.
pub struct PendingSecondFactor {
    /// Who it claims to be, after the password.
    pub known: Recognized,
    /// For the page.
    pub nonce: String,
}

impl FromRequestParts<Services> for PendingSecondFactor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Response> {
        match recognize(parts, services)
            .await
            .map_err(IntoResponse::into_response)?
        {
            Some(known) if known.awaiting_second_factor => Ok(Self {
                known,
                nonce: nonce(parts),
            }),
            _ => Err(Redirect::to("/sign-in").into_response()),
        }
    }
}

/// A request of somebody who is not signed in.
pub struct Anonymous {
    /// The server.
    pub services: Services,
    /// The client's address.
    pub address: String,
    /// The browser, cut to 200 characters.
    pub user_agent: String,
    /// For the page.
    pub nonce: String,
    /// For the log.
    pub request_id: String,
}

impl FromRequestParts<Services> for Anonymous {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        services: &Services,
    ) -> Result<Self, Self::Rejection> {
        let user_agent = parts
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        Ok(Self {
            services: services.clone(),
            address: caller(parts, services).await.address.clone(),
            user_agent: user_agent.chars().take(200).collect(),
            nonce: nonce(parts),
            request_id: request_id(parts),
        })
    }
}
