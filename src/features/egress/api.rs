//! `/api/v1/workspaces/{workspace}/containers/{container}/egress`, and what lists there are: `/api/v1/workspaces/{workspace}/egress`
//! and `/api/v1/organizations/{organization}/egress`

use std::sync::Arc;

use axum::Extension;

use super::decision::Decision;
use super::model::{NewAdditions, NewCeiling, OrganizationEgress, WorkspaceEgress};
use super::proxy::Egress;
use super::{lists, ops};
use crate::context::Ctx;
use crate::features::containers::Controller;
use crate::kernel::{ContainerId, OrganizationId, Page, Problem, WorkspaceId};
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

/// What the workspace's containers may reach: what the installation allows, what the workspace adds, and the organization's
/// ceiling.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/egress", tag = "Workspaces",
    params(("workspace" = String, Path)), responses((status = 200, body = WorkspaceEgress)))]
pub async fn read_workspace_egress(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<WorkspaceEgress>, Problem> {
    Ok(Json(lists::workspace(&ctx, workspace).await?))
}

/// Set all that the workspace adds to the installation's list. It holds for new connections within a second and closes none.
/// 403 where the operator takes no additions.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/egress", tag = "Workspaces",
    params(("workspace" = String, Path)), request_body = NewAdditions,
    responses((status = 200, body = WorkspaceEgress)))]
pub async fn update_workspace_egress(
    ctx: Ctx,
    Extension(egress): Extension<Egress>,
    Path(workspace): Path<WorkspaceId>,
    Json(body): Json<NewAdditions>,
) -> Result<Json<WorkspaceEgress>, Problem> {
    Ok(Json(
        lists::add(&ctx, &egress, workspace, &body.additions).await?,
    ))
}

/// What the organization's workspaces may reach at most, for its owners.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/egress", tag = "Organizations",
    params(("organization" = String, Path)), responses((status = 200, body = OrganizationEgress)))]
pub async fn read_organization_egress(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
) -> Result<Json<OrganizationEgress>, Problem> {
    Ok(Json(lists::organization(&ctx, organization).await?))
}

/// Set the ceiling over what the organization's workspaces may reach; an empty one is none. It holds for new connections
/// within a second and closes none.
#[utoipa::path(put, path = "/api/v1/organizations/{organization}/egress", tag = "Organizations",
    params(("organization" = String, Path)), request_body = NewCeiling,
    responses((status = 200, body = OrganizationEgress)))]
pub async fn update_organization_egress(
    ctx: Ctx,
    Extension(egress): Extension<Egress>,
    Path(organization): Path<OrganizationId>,
    Json(body): Json<NewCeiling>,
) -> Result<Json<OrganizationEgress>, Problem> {
    Ok(Json(
        lists::limit(&ctx, &egress, organization, &body.ceiling).await?,
    ))
}
