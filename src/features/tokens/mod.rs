//! API tokens: one's own, and those of service accounts.
//!
//! What always holds: a token's value is shown once, when it is made, and stored as the vault's keyed hash alone; making
//! one asks for a person who signed in within the last ten minutes, so no token makes another; a service account belongs
//! to one workspace, has no password, and goes with its tokens.

mod api;
mod model;
mod ops;
mod pages;
mod service;

pub use pages::pages;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;

/// The API of this feature.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list, api::create))
        .routes(routes!(api::revoke))
        .routes(routes!(
            api::list_service_accounts,
            api::create_service_account
        ))
        .routes(routes!(
            api::update_service_account,
            api::delete_service_account
        ))
        .routes(routes!(api::list_service_tokens, api::create_service_token))
        .routes(routes!(api::revoke_service_token))
}
