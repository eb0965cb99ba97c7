//! `/api/v1/workspaces/{workspace}/secrets`

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::model::{SecretItem, Tier};
use super::ops;
use crate::context::Ctx;
use crate::kernel::{Page, Problem, SecretString, WorkspaceId};
use crate::web::{Json, Path};

/// The secrets of a workspace by name. Values are shown for visible ones only.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/secrets", tag = "Secrets",
    params(("workspace" = String, Path)), responses((status = 200, body = Page<SecretItem>)))]
pub async fn list(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Page<SecretItem>>, Problem> {
    Ok(Json(ops::list(&ctx, workspace).await?))
}

/// A value to be set.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// How much of it may be seen again.
    tier: Tier,
    /// The value, at most 64 KiB.
    #[schema(value_type = String)]
    value: SecretString,
    /// For people; kept as it was without it.
    description: Option<String>,
}

/// Set a secret. Running containers get the new value at their next start.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/secrets/{name}", tag = "Secrets",
    params(("workspace" = String, Path), ("name" = String, Path)), request_body = SetSecret,
    responses((status = 200, body = SecretItem)))]
pub async fn put(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    Json(set): Json<SetSecret>,
) -> Result<Json<SecretItem>, Problem> {
    Ok(Json(
        ops::set(&ctx, workspace, &name, set.tier, set.value, set.description).await?,
    ))
}

/// Delete a secret with all its versions.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/secrets/{name}", tag = "Secrets",
    params(("workspace" = String, Path), ("name" = String, Path)), responses((status = 204)))]
pub async fn delete(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
) -> Result<StatusCode, Problem> {
    ops::delete(&ctx, workspace, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A value that is shown once.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Revealed {
    value: String,
}

/// Show the value of a masked secret. Needs a sign-in of the last ten minutes; recorded.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/{name}/reveal", tag = "Secrets",
    params(("workspace" = String, Path), ("name" = String, Path)), responses((status = 200, body = Revealed)))]
pub async fn reveal(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
) -> Result<Json<Revealed>, Problem> {
    let value = ops::reveal(&ctx, workspace, &name).await?;
    Ok(Json(Revealed {
        value: value.expose().clone(),
    }))
}
