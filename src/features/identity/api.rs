//! `/api/v1/me`

use serde::Serialize;

use super::sign_in;
use crate::context::Ctx;
use crate::features::members::{self, Membership};
use crate::kernel::{Problem, UserId};
use crate::web::Json;

/// Whose credential this is.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Me {
    user: Person,
    workspaces: Vec<Membership>,
}

/// A person as they see themselves.
#[derive(Serialize, utoipa::ToSchema)]
struct Person {
    id: UserId,
    email: String,
    name: String,
    /// Whether signing in asks for a one-time password too.
    second_factor: bool,
}

/// Who am I, and which workspaces do I belong to?
#[utoipa::path(get, path = "/api/v1/me", tag = "Identity", responses((status = 200, body = Me)))]
pub async fn me(ctx: Ctx) -> Result<Json<Me>, Problem> {
    let second_factor = sign_in::has_second_factor(&ctx).await?;
    let workspaces = members::memberships(&ctx.services, ctx.actor.user).await?;
    let user = Person {
        id: ctx.actor.user,
        email: ctx.actor.email,
        name: ctx.actor.name,
        second_factor,
    };
    Ok(Json(Me { user, workspaces }))
}
