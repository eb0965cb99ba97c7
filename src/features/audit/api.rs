//! `/api/v1/workspaces/{workspace}/audit` and `/api/v1/organizations/{organization}/audit`

use axum::Extension;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::Lately;
use super::filter::Asked;
use super::model::AuditEntry;
use super::ops::{self, Scope};
use crate::context::Ctx;
use crate::kernel::{OrganizationId, Page, Problem, WorkspaceId};
use crate::web::{Json, Path, Query};

/// The audit log of a workspace, newest first. For its owners and admins.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/audit", tag = "Audit",
    operation_id = "list_workspace_audit",
    params(("workspace" = String, Path), Asked), responses((status = 200, body = Page<AuditEntry>)))]
pub async fn workspace(
    ctx: Ctx,
    Extension(lately): Extension<Lately>,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    Ok(Json(
        ops::list(&ctx, &lately, Scope::Workspace(workspace), &asked).await?,
    ))
}

/// The audit log of a workspace as JSON Lines, oldest first. Recorded. `cursor` and `limit` have no meaning here.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/audit/export", tag = "Audit",
    operation_id = "export_workspace_audit",
    params(("workspace" = String, Path), Asked),
    responses((status = 200, content_type = "application/jsonl", body = String)))]
pub async fn export_workspace(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    export(&ctx, Scope::Workspace(workspace), &asked).await
}

/// The audit log of an organization with all its workspaces, newest first: sign-ins of its people too. For its owners.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/audit", tag = "Audit",
    operation_id = "list_organization_audit",
    params(("organization" = String, Path), Asked), responses((status = 200, body = Page<AuditEntry>)))]
pub async fn organization(
    ctx: Ctx,
    Extension(lately): Extension<Lately>,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<Json<Page<AuditEntry>>, Problem> {
    Ok(Json(
        ops::list(&ctx, &lately, Scope::Organization(organization), &asked).await?,
    ))
}

/// The audit log of an organization as JSON Lines, oldest first. Recorded. `cursor` and `limit` have no meaning here.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/audit/export", tag = "Audit",
    operation_id = "export_organization_audit",
    params(("organization" = String, Path), Asked),
    responses((status = 200, content_type = "application/jsonl", body = String)))]
pub async fn export_organization(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    export(&ctx, Scope::Organization(organization), &asked).await
}

/// The log as a file to keep.
pub async fn export(ctx: &Ctx, scope: Scope, asked: &Asked) -> Result<Response, Problem> {
    let lines = ops::export(ctx, scope, asked).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"audit.jsonl\"",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}
