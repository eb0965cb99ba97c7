//! `/api/v1/workspaces/{workspace}/projects`

use axum::body::Body;
use axum::http::StatusCode;
use serde::Deserialize;

use super::model::{Project, Source};
use super::{import, ops};
use crate::context::Ctx;
use crate::kernel::{Page, Problem, ProjectId, WorkspaceId};
use crate::web::{Json, Path, Query};

/// A project to be made.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// Display name, at most 100 characters.
    name: String,
    /// Where the code comes from.
    source: Source,
}

/// The projects of a workspace, newest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/projects", tag = "Projects",
    params(("workspace" = String, Path)), responses((status = 200, body = Page<Project>)))]
pub async fn list(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Page<Project>>, Problem> {
    Ok(Json(ops::list(&ctx, workspace).await?))
}

/// Make a project from an empty folder or a git address.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/projects", tag = "Projects",
    params(("workspace" = String, Path)), request_body = NewProject, responses((status = 201, body = Project)))]
pub async fn create(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Json(new): Json<NewProject>,
) -> Result<(StatusCode, Json<Project>), Problem> {
    let project = ops::create(&ctx, workspace, &new.name, new.source).await?;
    Ok((StatusCode::CREATED, Json(project)))
}

/// What an import is called.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Display name, at most 100 characters.
    name: String,
}

/// Make a project from a .tar.gz or .zip archive, which is the body. A single folder around everything is left away.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/projects/import", tag = "Projects",
    params(("workspace" = String, Path), ImportQuery),
    request_body(content_type = "application/octet-stream", content = Vec<u8>),
    responses((status = 201, body = Project)))]
pub async fn import(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<ImportQuery>,
    body: Body,
) -> Result<(StatusCode, Json<Project>), Problem> {
    ops::may_import(&ctx, workspace, &query.name).await?;
    let upload = import::receive(&ctx.services, ctx.actor.user(), body.into_data_stream()).await?;
    let project = ops::import(&ctx, workspace, &query.name, upload).await?;
    Ok((StatusCode::CREATED, Json(project)))
}

/// One project.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/projects/{project}", tag = "Projects",
    params(("workspace" = String, Path), ("project" = String, Path)), responses((status = 200, body = Project)))]
pub async fn read(
    ctx: Ctx,
    Path((workspace, project)): Path<(WorkspaceId, ProjectId)>,
) -> Result<Json<Project>, Problem> {
    Ok(Json(ops::get(&ctx, workspace, project).await?))
}

/// Delete a project. Its folder stays in the containers that hold it.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/projects/{project}", tag = "Projects",
    params(("workspace" = String, Path), ("project" = String, Path)), responses((status = 204)))]
pub async fn delete(
    ctx: Ctx,
    Path((workspace, project)): Path<(WorkspaceId, ProjectId)>,
) -> Result<StatusCode, Problem> {
    ops::delete(&ctx, workspace, project).await?;
    Ok(StatusCode::NO_CONTENT)
}
