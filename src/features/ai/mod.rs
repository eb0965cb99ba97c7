//! The AI gateway and the assistant.
//!
//! Two users of one path to the upstream ([`upstream`]): the gateway passes requests of SDKs through byte for byte,
//! the assistant holds a conversation over one project and acts in it through the container's agent.
//!
//! What always holds:
//! - The upstream key is sealed by the vault at start, opened for each request, and never reaches a client, a log or a
//!   container. OptiDev's own credentials never reach the upstream.
//! - Nothing leaves before the redactor has taken the workspace's hidden values out of it ([`redaction`]).
//! - Prompts and answers are not logged; tokens are counted.
//! - A conversation belongs to one user, one project and one container, and its tools reach that project's folder.

mod assistant;
mod gateway;
mod key;
mod redaction;
mod sse;
#[cfg(test)]
mod testing;
mod upstream;
mod usage;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use crate::clients::http::Outbound;
use crate::context::Services;
use crate::features::audit::Lately;
use crate::features::containers::Controller;

pub use key::SETTING as KEY_SETTING;

/// What the gateway and the assistant share. Made once, by `app`.
pub struct Ai {
    controller: Arc<Controller>,
    upstream: Arc<upstream::Upstream>,
    hub: assistant::Hub,
    /// What the gateway holds of requests.
    intake: gateway::Intake,
    /// Uses of the gateway that were told lately.
    lately: Lately,
}

impl Ai {
    /// Reads and seals the upstream key, if one is configured. Without one everything is there and says what is missing.
    pub async fn new(
        services: &Services,
        outbound: Outbound,
        controller: Arc<Controller>,
    ) -> Arc<Self> {
        let file = services.config.ai.anthropic_api_key_file.clone();
        let key = key::UpstreamKey::new(services.vault.clone(), file).or_stored(services.clone());
        key.load_at_start().await;
        Arc::new(Self {
            upstream: Arc::new(upstream::Upstream::new(outbound, key)),
            controller,
            hub: assistant::Hub::default(),
            intake: gateway::Intake::default(),
            lately: Lately::default(),
        })
    }
}

/// The routes of the gateway below `/ai` and of the assistant below `/api/v1/workspaces/{workspace}/ai`.
pub fn routes(ai: Arc<Ai>) -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .merge(gateway::routes())
        .merge(assistant::routes())
        .layer(axum::Extension(ai))
}
