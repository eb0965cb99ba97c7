//! `/api/v1/tokens`, and `service-accounts` below a workspace.

use axum::http::StatusCode;
use serde::Deserialize;

use super::model::{NewToken, ServiceAccount, Token, TokenRequest};
use super::{ops, service};
use crate::authz::Role;
use crate::context::Ctx;
use crate::kernel::{Page, Problem, TokenId, UserId, WorkspaceId};
use crate::web::{Json, Path};

/// One's own tokens.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "Tokens", responses((status = 200, body = Page<Token>)))]
pub async fn list(ctx: Ctx) -> Result<Json<Page<Token>>, Problem> {
    Ok(Json(ops::list(&ctx).await?))
}

/// Make a token; its value is in this answer and nowhere else. Needs a sign-in of the last ten minutes, so no token makes
/// another.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "Tokens", request_body = TokenRequest,
    responses((status = 201, body = NewToken)))]
pub async fn create(
    ctx: Ctx,
    Json(wanted): Json<TokenRequest>,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    Ok((StatusCode::CREATED, Json(ops::create(&ctx, wanted).await?)))
}

/// Revoke one of one's own tokens.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", tag = "Tokens",
    params(("token" = String, Path)), responses((status = 204)))]
pub async fn revoke(ctx: Ctx, Path(token): Path<TokenId>) -> Result<StatusCode, Problem> {
    ops::revoke(&ctx, token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The service accounts of a workspace.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/service-accounts", tag = "Service accounts",
    params(("workspace" = String, Path)), responses((status = 200, body = Page<ServiceAccount>)))]
pub async fn list_service_accounts(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Page<ServiceAccount>>, Problem> {
    Ok(Json(service::list(&ctx, workspace).await?))
}

/// A new service account.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// From 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Not owner.
    role: Role,
}

/// Make a service account: it has tokens and no password.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/service-accounts", tag = "Service accounts",
    params(("workspace" = String, Path)), request_body = NewServiceAccount,
    responses((status = 201, body = ServiceAccount)))]
pub async fn create_service_account(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Json(body): Json<NewServiceAccount>,
) -> Result<(StatusCode, Json<ServiceAccount>), Problem> {
    let made = service::create(&ctx, workspace, &body.name, body.role).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// What changes.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountChange {
    /// From 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// Rename a service account. Its role is changed as that of any member.
#[utoipa::path(patch, path = "/api/v1/workspaces/{workspace}/service-accounts/{service}", tag = "Service accounts",
    params(("workspace" = String, Path), ("service" = String, Path)), request_body = ServiceAccountChange,
    responses((status = 200, body = ServiceAccount)))]
pub async fn update_service_account(
    ctx: Ctx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
    Json(body): Json<ServiceAccountChange>,
) -> Result<Json<ServiceAccount>, Problem> {
    Ok(Json(
        service::rename(&ctx, workspace, user, &body.name).await?,
    ))
}

/// Delete a service account with its tokens.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/service-accounts/{service}", tag = "Service accounts",
    params(("workspace" = String, Path), ("service" = String, Path)), responses((status = 204)))]
pub async fn delete_service_account(
    ctx: Ctx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
) -> Result<StatusCode, Problem> {
    service::delete(&ctx, workspace, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tokens of a service account.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens", tag = "Service accounts",
    params(("workspace" = String, Path), ("service" = String, Path)), responses((status = 200, body = Page<Token>)))]
pub async fn list_service_tokens(
    ctx: Ctx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
) -> Result<Json<Page<Token>>, Problem> {
    Ok(Json(service::tokens(&ctx, workspace, user).await?))
}

/// Make a token for a service account; its value is in this answer and nowhere else. Needs a sign-in of the last ten
/// minutes.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens", tag = "Service accounts",
    params(("workspace" = String, Path), ("service" = String, Path)), request_body = TokenRequest,
    responses((status = 201, body = NewToken)))]
pub async fn create_service_token(
    ctx: Ctx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
    Json(wanted): Json<TokenRequest>,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    let made = service::create_token(&ctx, workspace, user, wanted).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revoke a token of a service account.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/service-accounts/{service}/tokens/{token}",
    tag = "Service accounts",
    params(("workspace" = String, Path), ("service" = String, Path), ("token" = String, Path)),
    responses((status = 204)))]
pub async fn revoke_service_token(
    ctx: Ctx,
    Path((workspace, user, token)): Path<(WorkspaceId, UserId, TokenId)>,
) -> Result<StatusCode, Problem> {
    service::revoke_token(&ctx, workspace, user, token).await?;
    Ok(StatusCode::NO_CONTENT)
}
