//! Secrets of a workspace in three tiers. Values are sealed and opened by the vault process; the database holds
//! ciphertext, and a Sensitive value has no way back out but sealed to a container's agent.

mod api;
mod delivery;
mod model;
mod ops;
mod pages;
mod rotate;
mod store;

pub use delivery::sealed_environment;
pub use pages::pages;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;

/// The API of this feature.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list))
        .routes(routes!(api::put, api::delete))
        .routes(routes!(api::reveal))
        .routes(routes!(api::rotate_key))
        .routes(routes!(api::shred))
}
