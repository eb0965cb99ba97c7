//! `/api/v1/me`

use axum::http::StatusCode;
use serde::Serialize;

use super::sessions::{self, SessionItem};
use super::sign_in;
use crate::authz::Scope;
use crate::context::Ctx;
use crate::features::members::{self, Membership};
use crate::kernel::{Page, Problem, SessionId, UserId};
use crate::web::{Json, Path};

/// Whose credential this is.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Me {
    user: Person,
    /// Absent for a token without the scope `members:read`.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspaces: Option<Vec<Membership>>,
}

/// A person as they see themselves.
#[derive(Serialize, utoipa::ToSchema)]
struct Person {
    id: UserId,
    /// None for a service account, and for a token without the scope `account`.
    email: Option<String>,
    name: String,
    /// Whether signing in asks for a one-time password too. Absent for a token without the scope `account`.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor: Option<bool>,
}

/// Who am I, and which workspaces do I belong to? A token with other scopes alone learns its account's id and name.
#[utoipa::path(get, path = "/api/v1/me", tag = "Identity", responses((status = 200, body = Me)))]
pub async fn me(ctx: Ctx) -> Result<Json<Me>, Problem> {
    let own = ctx.actor.has_scope(Scope::Account);
    let second_factor = if own {
        Some(sign_in::has_second_factor(&ctx).await?)
    } else {
        None
    };
    let workspaces = if ctx.actor.has_scope(Scope::MembersRead) {
        Some(members::memberships(&ctx.services, ctx.actor.user()).await?)
    } else {
        None
    };
    let user = Person {
        id: ctx.actor.user(),
        email: Some(ctx.actor.email().to_owned()).filter(|email| own && !email.is_empty()),
        name: ctx.actor.name().to_owned(),
        second_factor,
    };
    Ok(Json(Me { user, workspaces }))
}

/// Where one is signed in.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "Identity", responses((status = 200, body = Page<SessionItem>)))]
pub async fn list_sessions(ctx: Ctx) -> Result<Json<Page<SessionItem>>, Problem> {
    Ok(Json(sessions::items(&ctx).await?))
}

/// End one of one's own sessions; what it has open ends at once.
#[utoipa::path(delete, path = "/api/v1/sessions/{login}", tag = "Identity",
    params(("login" = String, Path)), responses((status = 204)))]
pub async fn end_session(ctx: Ctx, Path(login): Path<SessionId>) -> Result<StatusCode, Problem> {
    sessions::end(&ctx, login).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How many sessions ended.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Ended {
    ended: u64,
}

/// End all of one's own sessions but the one that asks.
#[utoipa::path(post, path = "/api/v1/sessions/revoke-others", tag = "Identity", responses((status = 200, body = Ended)))]
pub async fn end_other_sessions(ctx: Ctx) -> Result<Json<Ended>, Problem> {
    let ended = sessions::end_others(&ctx).await?;
    Ok(Json(Ended { ended }))
}
