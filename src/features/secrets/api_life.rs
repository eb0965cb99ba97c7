//! `/api/v1/workspaces/{workspace}/secrets`: versions and changes of one, and many at once.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};

use super::api::{InScope, SealedValue, SetSecret};
use super::env_file::{self, ImportPreview};
use super::model::{DeliveredAs, SecretItem, Tier, VersionItem};
use super::set::{self, NewSecret};
use super::versions::{self, Change};
use crate::context::Ctx;
use crate::kernel::{Page, Problem, SecretString, WorkspaceId};
use crate::web::{Json, Path, Query};

/// The versions of a secret, the newest first: who set each and when, without values.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/secrets/{name}/versions", tag = "Secrets",
    operation_id = "list_versions",
    params(("workspace" = String, Path), ("name" = String, Path), InScope),
    responses((status = 200, body = Page<VersionItem>)))]
pub async fn list_versions(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    Query(asked): Query<InScope>,
) -> Result<Json<Page<VersionItem>>, Problem> {
    Ok(Json(
        versions::list(&ctx, workspace, asked.scope()?, &name).await?,
    ))
}

/// The version to go back to.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"version": 1}))]
pub struct RollBack {
    /// A version before the current one.
    version: i64,
}

/// Make the value of an earlier version the current one again, as a new version, without showing it. Its tier is the
/// stricter one of that version's and the current one's.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/{name}/rollback", tag = "Secrets",
    operation_id = "rollback",
    params(("workspace" = String, Path), ("name" = String, Path), InScope), request_body = RollBack,
    responses((status = 200, body = SecretItem)))]
pub async fn roll_back(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    Query(asked): Query<InScope>,
    Json(body): Json<RollBack>,
) -> Result<Json<SecretItem>, Problem> {
    Ok(Json(
        versions::roll_back(&ctx, workspace, asked.scope()?, &name, body.version).await?,
    ))
}

/// What is to be different about a secret; what is left out stays.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "For the mail server"}))]
pub struct ChangeSecret {
    /// A stricter tier, which earlier versions move to as well. To a weaker one a secret moves with a new value only.
    tier: Option<Tier>,
    /// For people.
    description: Option<String>,
    /// Until when the value is good, milliseconds since the epoch; null when that is not known.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    expires_at_ms: Option<Option<i64>>,
    /// Whether `${NAME}` in the value stands for the value of the secret NAME.
    expand: Option<bool>,
    /// The names that the value refers to: needed to have a value expanded that was not.
    references: Option<Vec<String>>,
    /// How it is given to containers.
    delivered_as: Option<DeliveredAs>,
}

/// Tells null from nothing.
fn given<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Change what is said of a secret, or move it to a stricter tier, without a new value.
#[utoipa::path(patch, path = "/api/v1/workspaces/{workspace}/secrets/{name}", tag = "Secrets",
    params(("workspace" = String, Path), ("name" = String, Path), InScope), request_body = ChangeSecret,
    responses((status = 200, body = SecretItem)))]
pub async fn change(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    Query(asked): Query<InScope>,
    Json(body): Json<ChangeSecret>,
) -> Result<Json<SecretItem>, Problem> {
    let change = Change {
        tier: body.tier,
        description: body.description,
        expires_at_ms: body.expires_at_ms,
        expand: body.expand,
        references: body.references,
        delivered_as: body.delivered_as,
    };
    Ok(Json(
        versions::change(&ctx, workspace, asked.scope()?, &name, change).await?,
    ))
}

/// A secret of several that are set at once.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedSecret {
    /// Name of the environment variable.
    name: String,
    /// How much of it may be seen again.
    tier: Tier,
    /// The value, at most 64 KiB.
    #[schema(value_type = Option<String>)]
    value: Option<SecretString>,
    /// The value as a client sealed it, for this workspace, name and tier.
    sealed: Option<SealedValue>,
    /// For people; kept as it was without it.
    description: Option<String>,
    /// Until when this value is good, milliseconds since the epoch. Without it that is not known.
    expires_at_ms: Option<i64>,
    /// Whether `${NAME}` in the value stands for the value of the secret NAME; kept as it was without it.
    expand: Option<bool>,
    /// The names that a sealed value refers to, when it is expanded.
    references: Option<Vec<String>>,
    /// How it is given to containers; kept as it was without it.
    delivered_as: Option<DeliveredAs>,
}

impl NamedSecret {
    fn named(self) -> Result<NewSecret, String> {
        let set = SetSecret {
            tier: self.tier,
            value: self.value,
            sealed: self.sealed,
            description: self.description,
            expires_at_ms: self.expires_at_ms,
            expand: self.expand,
            references: self.references,
            delivered_as: self.delivered_as,
        };
        set.named(self.name)
    }
}

/// Secrets to be set at once.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"secrets": [{"name": "FIRST", "tier": "visible", "value": "1"}]}))]
pub struct SetMany {
    /// Up to 200, each name once.
    secrets: Vec<NamedSecret>,
}

/// Set several secrets: all of them or, when one is not right or was changed meanwhile, none. Everything that is not right
/// is told by name.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/bulk", tag = "Secrets",
    params(("workspace" = String, Path), InScope), request_body = SetMany,
    responses((status = 200, body = Page<SecretItem>)))]
pub async fn bulk(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
    Json(body): Json<SetMany>,
) -> Result<Json<Page<SecretItem>>, Problem> {
    let (mut new, mut wrong) = (Vec::with_capacity(body.secrets.len()), Vec::new());
    for one in body.secrets {
        let name: String = one.name.chars().take(130).collect();
        match one.named() {
            Ok(one) => new.push(one),
            Err(message) => wrong.push((name, message)),
        }
    }
    let items = set::set_many(&ctx, workspace, asked.scope()?, new, wrong).await?;
    Ok(Json(Page::whole(items)))
}

/// A file to look at.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportText {
    /// The text of a `.env` file.
    #[schema(value_type = String)]
    text: SecretString,
}

/// Say what setting all that is in a `.env` file would change. Nothing is changed, and nothing stored is shown: of masked
/// and sensitive secrets it is not told whether the value is another one.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/import/preview", tag = "Secrets",
    params(("workspace" = String, Path), InScope), request_body = ImportText,
    responses((status = 200, body = ImportPreview)))]
pub async fn preview_import(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
    Json(body): Json<ImportText>,
) -> Result<Json<ImportPreview>, Problem> {
    Ok(Json(
        env_file::preview(&ctx, workspace, asked.scope()?, body.text.expose()).await?,
    ))
}

/// The secrets of a scope as a `.env` file: the visible ones. Of others a comment says that they are there.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/secrets/export", tag = "Secrets",
    params(("workspace" = String, Path), InScope),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn export(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
) -> Result<Response, Problem> {
    let file = env_file::export(&ctx, workspace, asked.scope()?, false).await?;
    Ok(attachment(file))
}

/// The secrets of a scope as a `.env` file, masked ones too: each counts as a reveal, and the log has it. Needs a sign-in of the
/// last ten minutes. A POST, so that no link leads to it.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/export", tag = "Secrets",
    operation_id = "export_masked",
    params(("workspace" = String, Path), InScope),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn export_masked(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
) -> Result<Response, Problem> {
    let file = env_file::export(&ctx, workspace, asked.scope()?, true).await?;
    Ok(attachment(file))
}

/// An export as a file for the person's disk.
pub fn attachment(file: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"secrets.env\"",
        ),
    ];
    (headers, file).into_response()
}
