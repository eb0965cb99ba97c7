//! The gateway: an Anthropic-compatible address under `/ai`, for SDKs and tools that speak the Messages API.
//!
//! What always holds: a body is passed on byte for byte in both directions and as it comes, but for hidden values of the
//! workspace, in whose place the redactor puts their names; OptiDev's token is swapped
//! for the upstream key; cookies and OptiDev's own headers stay here. Errors of ours have the upstream's error shape.

mod headers;
mod intake;
mod pass;
mod problem;
mod tap;
#[cfg(test)]
mod tests;

use axum::routing::{any, get, head, post};
use utoipa_axum::router::OpenApiRouter;

use crate::context::Services;

pub use intake::Intake;

/// The gateway's routes. They are the upstream's API and documented there, so they are not in our OpenAPI document.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .route(
            "/ai/v1/messages",
            post(pass::messages).fallback(pass::not_this_way),
        )
        .route(
            "/ai/v1/messages/count_tokens",
            post(pass::count_tokens).fallback(pass::not_this_way),
        )
        .route(
            "/ai/v1/models",
            get(pass::models).fallback(pass::not_this_way),
        )
        // SDKs ask whether anybody is there; the answer says nothing that a port scan does not.
        .route("/ai", head(pass::here))
        .route("/ai/", head(pass::here))
        .route("/ai/{*path}", any(pass::nowhere))
}
