//! `/api/v1/workspaces/{workspace}/containers/{container}/egress`

use std::sync::Arc;

use axum::Extension;

use super::decision::Decision;
use super::ops;
use super::proxy::Egress;
use crate::context::Ctx;
use crate::features::containers::Controller;
use crate::kernel::{ContainerId, Page, Problem, WorkspaceId};
use crate::web::{Json, Path};

/// What this container wanted to connect to, and what was decided: the last 200 decisions, newest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/egress", tag = "Containers",
    operation_id = "egress",
    params(("workspace" = WorkspaceId, Path), ("container" = ContainerId, Path)),
    responses((status = 200, body = Page<Decision>)))]
pub async fn list(
    ctx: Ctx,
    Extension(egress): Extension<Egress>,
    Extension(controller): Extension<Arc<Controller>>,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
) -> Result<Json<Page<Decision>>, Problem> {
    ops::decisions(&ctx, &egress, &controller, workspace, container)
        .await
        .map(Page::whole)
        .map(Json)
}
