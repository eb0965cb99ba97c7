//! `/api/v1/workspaces/{workspace}/secrets/run`

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::run::{self, Wanted};
use crate::context::Ctx;
use crate::kernel::{Problem, ProjectId, WorkspaceId};
use crate::web::{Json, Path};

/// For which program secrets are taken.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"public_key": "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="}))]
pub struct RunAsked {
    /// A public key of the program, X25519, in base64: made for this and never stored.
    public_key: String,
    /// A project whose secrets are wanted, too; they come in place of the workspace's of the same name.
    #[schema(value_type = Option<String>)]
    project: Option<ProjectId>,
    /// Whether the caller's own are wanted, too; they come in place of the others of the same name.
    #[serde(default)]
    own: bool,
    /// Whether masked secrets are wanted, which they are without it. Needs a sign-in of the last ten minutes, or a token with
    /// the scope `secrets:reveal`; recorded.
    #[serde(default = "yes")]
    masked: bool,
}

fn yes() -> bool {
    true
}

/// Secrets for one program.
#[derive(Serialize, utoipa::ToSchema)]
pub struct RunAnswer {
    /// HPKE's encapsulated key, in base64.
    enc: String,
    /// A JSON object of name to value, which the program's private key opens; in base64. HPKE (RFC 9180) in base mode with
    /// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM; the additional data is the text `person`.
    ciphertext: String,
    /// HPKE's `info`, as text.
    info: String,
    /// The names of secrets that are not in it: Sensitive ones, masked ones that the caller may not reveal or did not ask for,
    /// those that are delivered as files, and those that refer to such.
    left_out: Vec<String>,
}

/// Take the secrets that one may see or reveal for a program outside of a container, as `optidev run` does. The vault seals
/// them to the program's key; Sensitive ones are never among them.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/secrets/run", tag = "Secrets",
    params(("workspace" = String, Path)), request_body = RunAsked, responses((status = 200, body = RunAnswer)))]
pub async fn run(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Json(asked): Json<RunAsked>,
) -> Result<Json<RunAnswer>, Problem> {
    let wanted = Wanted {
        public_key: asked.public_key,
        project: asked.project,
        own: asked.own,
        masked: asked.masked,
    };
    let taken = run::run(&ctx, workspace, wanted).await?;
    Ok(Json(RunAnswer {
        enc: BASE64_STANDARD.encode(taken.delivery.enc),
        ciphertext: BASE64_STANDARD.encode(taken.delivery.ciphertext),
        info: taken.info,
        left_out: taken.left_out,
    }))
}
