//! Dev containers: one per member and workspace, made to run by the controller on a runtime.
//!
//! What always holds: operations write what is wanted, and the controller alone makes it so; only the owner gets to
//! the agent ([`enter`]), whatever the role; a container counts as running only after its isolation was proven.

mod api;
mod checkout;
mod choice;
mod controller;
mod isolation;
mod known;
mod liveness;
mod model;
mod ops;
mod pages;
pub mod pods;
mod runtime;
mod store;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use choice::{Choice, Choices, ClassInfo};
pub use controller::{Controller, DeliverHandler, Parts};
pub use known::{Known, known};
pub use liveness::Standing;
pub use model::{Checkout, CheckoutState, Container, Identity, Owner, State, Wanted};
pub use ops::{Access, Entered, create, enter, list, start, stop};
pub use pages::pages;
pub use runtime::{
    EgressHandler, EgressStream, Launched, Launching, Pods, Runtime, RuntimeError, finder,
    write_agent,
};

use crate::context::Services;

/// The API of this feature.
pub fn routes(controller: Arc<Controller>) -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list, api::create))
        .routes(routes!(api::choices))
        .routes(routes!(api::proof, api::prove))
        .routes(routes!(api::read, api::delete))
        .routes(routes!(api::start))
        .routes(routes!(api::stop))
        .routes(routes!(api::events))
        .routes(routes!(api::checkout, api::read_checkout))
        .layer(axum::Extension(controller))
        .layer(axum::Extension(checkout::Checkouts::default()))
}
