//! `/api/v1/workspaces/{workspace}/secrets`: to running containers, and what is in them.

use axum::Extension;
use serde::Deserialize;

use super::ops::{self, DeliveredTo, Deliveries, SecretsInContainer, Whose};
use crate::context::Ctx;
use crate::kernel::{Page, Problem, WorkspaceId};
use crate::web::{Json, Path};

/// Where to deliver.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"containers": "mine"}))]
pub struct DeliverTo {
    /// `mine`, the caller's own container; or `all` that run in the workspace, for who may set its secrets.
    containers: Whose,
}

/// Deliver the current secrets to running containers: each gets what its owner may have. Files are replaced at once;
/// variables are those of processes that start from now on. Recorded.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/deliver", tag = "Secrets",
    operation_id = "deliver",
    params(("workspace" = String, Path)), request_body = DeliverTo,
    responses((status = 200, body = Page<DeliveredTo>)))]
pub async fn deliver(
    ctx: Ctx,
    Extension(deliveries): Extension<Deliveries>,
    Path(workspace): Path<WorkspaceId>,
    Json(to): Json<DeliverTo>,
) -> Result<Json<Page<DeliveredTo>>, Problem> {
    ops::deliver_now(&ctx, &deliveries, workspace, to.containers)
        .await
        .map(Page::whole)
        .map(Json)
}

/// Which running containers have old values of secrets: of all members for who may set the workspace's, else one's own.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/secrets/containers", tag = "Secrets",
    operation_id = "list_containers",
    params(("workspace" = String, Path)), responses((status = 200, body = Page<SecretsInContainer>)))]
pub async fn list_containers(
    ctx: Ctx,
    Extension(deliveries): Extension<Deliveries>,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Page<SecretsInContainer>>, Problem> {
    ops::in_containers(&ctx, Some(deliveries.controller()), workspace)
        .await
        .map(Page::whole)
        .map(Json)
}
