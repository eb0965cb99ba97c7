//! `/api/v1/workspaces/{workspace}/secrets`

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::model::{DeliveredAs, Scope, ScopeWord, SecretItem, Tier};
use super::set::{self, NewSecret, Value};
use super::{ops, rotate};
use crate::context::Ctx;
use crate::kernel::{Code, Page, Problem, ProjectId, SecretString, WorkspaceId};
use crate::vault::SUBMISSION_INFO;
use crate::web::{Json, Path, Query};

/// Whose secrets are meant.
#[derive(Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct InScope {
    /// `workspace`, which it is without it; `project`: what programs get that are started in that project's folder; or `own`: what only
    /// the caller's own container gets, and only they see.
    #[param(inline)]
    scope: ScopeWord,
    /// The project, with `scope=project` and only then.
    #[param(value_type = Option<String>)]
    project: Option<ProjectId>,
}

impl InScope {
    /// What is asked for.
    ///
    /// # Errors
    /// `unprocessable` when scope and project do not go together.
    pub fn scope(&self) -> Result<Scope, Problem> {
        asked(self.scope, self.project)
    }
}

/// As [`Scope::asked`], as a problem.
fn asked(word: ScopeWord, project: Option<ProjectId>) -> Result<Scope, Problem> {
    Scope::asked(word, project).map_err(|message| Problem::new(Code::Unprocessable, message))
}

/// The secrets of a scope by name. Values are shown for visible ones only.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/secrets", tag = "Secrets",
    params(("workspace" = String, Path), InScope), responses((status = 200, body = Page<SecretItem>)))]
pub async fn list(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
) -> Result<Json<Page<SecretItem>>, Problem> {
    Ok(Json(ops::list(&ctx, workspace, asked.scope()?).await?))
}

/// What a client needs to seal values to the vault, so that the server never sees them.
#[derive(Serialize, utoipa::ToSchema)]
pub struct SubmissionKeyShown {
    /// The number of the root key that the public key comes from; sent with the value.
    root: u32,
    /// X25519, in base64. HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
    public_key: String,
    /// HPKE's `info`, as text.
    info: String,
    /// The beginning of HPKE's additional data, in base64: the installation and the workspace. Three fields follow, each
    /// after its length as eight bytes, the highest first: the name; the byte 1 (a variable of containers); the tier as a
    /// byte: 1 visible, 2 masked, 3 sensitive.
    data_prefix: String,
}

/// The public key to seal values to.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/secrets/submission-key", tag = "Secrets",
    params(("workspace" = String, Path)), responses((status = 200, body = SubmissionKeyShown)))]
pub async fn submission_key(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<SubmissionKeyShown>, Problem> {
    let (key, install) = ops::submission_key(&ctx, workspace).await?;
    let mut prefix = Vec::with_capacity(48);
    for field in [install, workspace.bytes()] {
        prefix.extend((field.len() as u64).to_be_bytes());
        prefix.extend_from_slice(&field);
    }
    Ok(Json(SubmissionKeyShown {
        root: key.root,
        public_key: BASE64_STANDARD.encode(key.public),
        info: String::from_utf8_lossy(SUBMISSION_INFO).into_owned(),
        data_prefix: BASE64_STANDARD.encode(prefix),
    }))
}

/// A value that a client sealed to the submission key.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedValue {
    /// The number of the root key.
    root: u32,
    /// HPKE's encapsulated key, in base64.
    enc: String,
    /// Ciphertext and tag, in base64.
    ciphertext: String,
}

/// A value to be set: `value` or `sealed`.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tier": "masked", "value": "a value"}))]
pub struct SetSecret {
    /// How much of it may be seen again.
    pub(super) tier: Tier,
    /// The value, at most 64 KiB.
    #[schema(value_type = Option<String>)]
    pub(super) value: Option<SecretString>,
    /// The value as a client sealed it, for this workspace, name and tier.
    pub(super) sealed: Option<SealedValue>,
    /// For people; kept as it was without it.
    pub(super) description: Option<String>,
    /// Until when this value is good, milliseconds since the epoch. Without it that is not known.
    pub(super) expires_at_ms: Option<i64>,
    /// Whether `${NAME}` in the value stands for the value of the secret NAME; kept as it was without it.
    pub(super) expand: Option<bool>,
    /// The names that a sealed value refers to, when it is expanded.
    pub(super) references: Option<Vec<String>>,
    /// How it is given to containers: as a variable, a file, or both. Kept as it was without it; of a new one, a variable.
    pub(super) delivered_as: Option<DeliveredAs>,
}

impl SetSecret {
    /// With its name; or what is wrong with it.
    pub fn named(self, name: String) -> Result<NewSecret, String> {
        let value = match (self.value, self.sealed) {
            (Some(value), None) => Value::Plain(value),
            (None, Some(sealed)) => Value::sealed(sealed.root, &sealed.enc, &sealed.ciphertext)?,
            _ => return Err("value: Give either value or sealed.".to_owned()),
        };
        Ok(NewSecret {
            name,
            tier: self.tier,
            value,
            description: self.description,
            expires_at_ms: self.expires_at_ms,
            expand: self.expand,
            references: self.references,
            delivered_as: self.delivered_as,
        })
    }
}

/// Set a secret. Running containers get the new value at their next start, or when it is delivered to them.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/secrets/{name}", tag = "Secrets",
    params(("workspace" = String, Path), ("name" = String, Path), InScope), request_body = SetSecret,
    responses((status = 200, body = SecretItem)))]
pub async fn put(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    Query(asked): Query<InScope>,
    Json(body): Json<SetSecret>,
) -> Result<Json<SecretItem>, Problem> {
    let scope = asked.scope()?;
    let new = match body.named(name) {
        Ok(new) => new,
        Err(message) => {
            set::may_set(&ctx, workspace, scope).await?;
            return Err(Problem::new(Code::Unprocessable, message));
        }
    };
    Ok(Json(set::set(&ctx, workspace, scope, new).await?))
}

/// Delete a secret with all its versions.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/secrets/{name}", tag = "Secrets",
    params(("workspace" = String, Path), ("name" = String, Path), InScope), responses((status = 204)))]
pub async fn delete(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    Query(asked): Query<InScope>,
) -> Result<StatusCode, Problem> {
    ops::delete(&ctx, workspace, asked.scope()?, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A value that is shown once.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Revealed {
    value: String,
}

/// Show the value of a masked secret. Needs a sign-in of the last ten minutes; recorded.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/{name}/reveal", tag = "Secrets",
    params(("workspace" = String, Path), ("name" = String, Path), InScope),
    responses((status = 200, body = Revealed)))]
pub async fn reveal(
    ctx: Ctx,
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    Query(asked): Query<InScope>,
) -> Result<Json<Revealed>, Problem> {
    let value = ops::reveal(&ctx, workspace, asked.scope()?, &name).await?;
    Ok(Json(Revealed {
        value: value.expose().clone(),
    }))
}

/// What a rotation did.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RotatedKey {
    /// How many values were sealed anew, earlier versions among them.
    values: usize,
}

/// Give the workspace a new key and seal every value with it. Values stay what they are. Needs a sign-in of the last ten
/// minutes; recorded.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/rotate-key", tag = "Secrets",
    params(("workspace" = String, Path)), responses((status = 200, body = RotatedKey)))]
pub async fn rotate_key(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<RotatedKey>, Problem> {
    let values = rotate::rotate_key(&ctx, workspace).await?;
    Ok(Json(RotatedKey { values }))
}

/// The name, typed once more.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Shred {
    /// The workspace's, as it is shown.
    name: String,
}

/// Delete all secrets, those of projects and of members' own too, with the key that opens them: no copy of the database opens them again. Needs a sign-in of the last ten
/// minutes; recorded.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/shred-all", tag = "Secrets",
    params(("workspace" = String, Path)), request_body = Shred, responses((status = 204)))]
pub async fn shred(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Json(shred): Json<Shred>,
) -> Result<StatusCode, Problem> {
    rotate::shred(&ctx, workspace, &shred.name).await?;
    Ok(StatusCode::NO_CONTENT)
}
