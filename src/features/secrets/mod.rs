//! Secrets in three tiers: a workspace's, its projects', and its members' own. Values are sealed and opened by the vault process; the database holds
//! ciphertext, and a Sensitive value has no way back out but sealed to a container's agent.

mod api;
mod api_life;
mod api_run;
mod delivery;
pub mod dotenv;
mod effective;
mod env_file;
mod expiry;
mod hidden;
mod model;
mod ops;
mod overview;
mod pages;
mod pages_delivery;
mod pages_export;
mod pages_import;
mod pages_parts;
mod pages_secret;
mod references;
mod rotate;
mod rules;
mod run;
mod set;
mod store;
mod versions;
mod wrong;

pub use delivery::ops::Deliveries;
pub use delivery::{By, DeliveryError, deliver};
pub use env_file::{ImportEntry, ImportState, compare};
pub use expiry::jobs;
pub use hidden::{hidden_state, hidden_values};
pub use model::Tier;
pub use ops::{delete_with_member, delete_with_project, may_write};
pub use pages::pages;
pub use pages_delivery::pages as delivery_pages;
pub use references::of as references_of;
pub use rules::{name_complaint, value_complaint};
pub use set::MOST_AT_ONCE;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;

/// The API of what goes to running containers.
pub fn delivery_routes(deliveries: Deliveries) -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(delivery::api::deliver))
        .routes(routes!(delivery::api::list_containers))
        .layer(axum::Extension(deliveries))
}

/// The API of this feature.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list))
        .routes(routes!(api::submission_key))
        .routes(routes!(api_life::bulk))
        .routes(routes!(api_life::preview_import))
        .routes(routes!(api_life::export, api_life::export_masked))
        .routes(routes!(api_run::run))
        .routes(routes!(api::put, api_life::change, api::delete))
        .routes(routes!(api::reveal))
        .routes(routes!(api_life::list_versions))
        .routes(routes!(api_life::roll_back))
        .routes(routes!(api::rotate_key))
        .routes(routes!(api::shred))
}
