//! Egress: the only way out of a container.
//!
//! A container has no network. Its agent offers an HTTP proxy on the container's loopback and relays each connection,
//! byte for byte, to [`Egress::serve`], which knows which container is at the other end and speaks the proxy protocol
//! itself (RFC 9110, section 9.3.6, and RFC 9112, section 3.2.2).
//!
//! What always holds:
//! - A connection is made only to a host on the installation's allow-list or, where the operator takes them, among the
//!   workspace's additions, at a listed port, within the organization's ceiling, and only to an address that was checked
//!   after the name was resolved here: there is no second resolution that could give another answer.
//! - Special-purpose addresses are refused unless `[egress] also_allow` lists them and the operator lists the name.
//! - What lists say is not older than a second; while it cannot be read, nothing is let through.
//! - Behind an upstream proxy names are resolved there, so no address is checked but literal ones, and what a workspace added
//!   is not sent to it.
//! - TLS goes only to the host that was asked for: the SNI must be the CONNECT host.
//! - Plain HTTP goes as requests, whose Host header is rewritten; a tunnel to port 80 takes an entry that names the port.
//! - Each decision is logged and kept for the owner to see: host and port, never paths or bodies.
//!
//! Who is at the other end is told by the runtime, never by what a connection says.

mod api;
mod client_hello;
mod decision;
mod dial;
mod forward;
mod host;
mod judge;
mod known;
mod lists;
mod model;
mod ops;
mod pages;
mod policy;
mod proxy;
mod refusal;
mod store;
mod tunnel;
mod upstream;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;
use crate::features::containers::Controller;

pub use decision::{Decision, Verdict};
pub use pages::pages;
pub use policy::{PatternError, SettingError};
pub use proxy::Egress;

/// The API of this feature.
pub fn routes(egress: Egress, controller: Arc<Controller>) -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list))
        .routes(routes!(
            api::read_workspace_egress,
            api::update_workspace_egress
        ))
        .routes(routes!(
            api::read_organization_egress,
            api::update_organization_egress
        ))
        .layer(axum::Extension(controller))
        .layer(axum::Extension(egress))
}
