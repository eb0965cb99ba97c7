//! Secrets in three tiers: a workspace's, its projects', and its members' own. Values are sealed and opened by the vault process; the database holds
//! ciphertext, and a Sensitive value has no way back out but sealed to a container's agent.

mod api;
mod api_life;
mod delivery;
pub mod dotenv;
mod effective;
mod env_file;
mod expiry;
mod model;
mod ops;
mod pages;
mod references;
mod rotate;
mod rules;
mod set;
mod store;
mod versions;

pub use delivery::sealed_environment;
pub use expiry::jobs;
pub use ops::delete_with_project;
pub use pages::pages;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;

/// The API of this feature.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list))
        .routes(routes!(api::submission_key))
        .routes(routes!(api_life::bulk))
        .routes(routes!(api_life::preview_import))
        .routes(routes!(api_life::export))
        .routes(routes!(api::put, api_life::change, api::delete))
        .routes(routes!(api::reveal))
        .routes(routes!(api_life::list_versions))
        .routes(routes!(api_life::roll_back))
        .routes(routes!(api::rotate_key))
        .routes(routes!(api::shred))
}
