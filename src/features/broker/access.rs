//! Getting in.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::authz::permission::ContainersUse;
use crate::context::{Ctx, Services};
use crate::features::containers::{self, Controller, Entered, Standing};
use crate::kernel::{ContainerId, Problem, WorkspaceId};

/// A request of an owner to the inside of their running container: an extractor, so that no handler forgets it.
pub struct Inside {
    /// The request.
    pub ctx: Ctx,
    /// The container.
    pub entered: Entered,
}

impl Inside {
    /// What has to hold for as long as something of this request stays open.
    pub fn standing(&self) -> Standing<ContainersUse> {
        let actor = &self.ctx.actor;
        Standing::inside(&self.ctx.services, &actor.credential, self.entered.identity)
    }
}

impl FromRequestParts<Services> for Inside {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let ctx = Ctx::from_request_parts(parts, services).await?;
        let params = RawPathParams::from_request_parts(parts, services)
            .await
            .map_err(|_| Problem::not_found())?;
        let find = |name: &str| {
            params
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value)
        };
        let workspace: Option<WorkspaceId> = find("workspace").and_then(|text| text.parse().ok());
        let container: Option<ContainerId> = find("container").and_then(|text| text.parse().ok());
        let (Some(workspace), Some(container)) = (workspace, container) else {
            return Err(Problem::not_found());
        };
        let controller = parts
            .extensions
            .get::<Arc<Controller>>()
            .cloned()
            .ok_or_else(|| Problem::internal("the broker's routes have no controller"))?;
        let entered = containers::enter(&ctx, &controller, workspace, container).await?;
        Ok(Self { ctx, entered })
    }
}
