//! Egress: the only way out of a container.
//!
//! A container has no network. Its agent offers an HTTP proxy on the container's loopback and relays each connection,
//! byte for byte, to [`Egress::serve`], which knows which container is at the other end and speaks the proxy protocol
//! itself (RFC 9110, section 9.3.6, and RFC 9112, section 3.2.2).
//!
//! What always holds:
//! - A connection is made only to a host on the allow-list, at a listed port, and only to an address that was checked
//!   after the name was resolved here: there is no second resolution that could give another answer.
//! - Special-purpose addresses are refused unless `[egress] also_allow` lists them.
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
mod ops;
mod policy;
mod proxy;
mod refusal;
mod tunnel;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;
use crate::features::containers::Controller;

pub use decision::{Decision, Verdict};
pub use policy::PatternError;
pub use proxy::Egress;

/// The API of this feature.
pub fn routes(egress: Egress, controller: Arc<Controller>) -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list))
        .layer(axum::Extension(controller))
        .layer(axum::Extension(egress))
}
