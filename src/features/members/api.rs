//! `/api/v1/organizations`, `/api/v1/workspaces` and who is in them.

use axum::http::StatusCode;
use serde::Deserialize;

use super::model::{
    Invitation, InvitationLink, Member, OrganizationItem, OrganizationPerson, WorkspaceItem,
};
use super::{Membership, invitations, ops, organizations, people, workspaces};
use crate::authz::{Role, Scope};
use crate::context::Ctx;
use crate::kernel::{InvitationId, OrganizationId, Page, Problem, UserId, WorkspaceId};
use crate::web::{Json, Path};

/// A new name.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// From 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// The organizations that the caller owns or belongs to.
#[utoipa::path(get, path = "/api/v1/organizations", tag = "Organizations",
    responses((status = 200, body = Page<OrganizationItem>)))]
pub async fn list_organizations(ctx: Ctx) -> Result<Json<Page<OrganizationItem>>, Problem> {
    ops::reach(&ctx, &[Scope::MembersRead, Scope::Organization])?;
    Ok(Json(organizations::list(&ctx).await?))
}

/// One organization that the caller owns.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}", tag = "Organizations",
    params(("organization" = String, Path)), responses((status = 200, body = OrganizationItem)))]
pub async fn read_organization(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
) -> Result<Json<OrganizationItem>, Problem> {
    Ok(Json(organizations::get(&ctx, organization).await?))
}

/// Rename an organization.
#[utoipa::path(patch, path = "/api/v1/organizations/{organization}", tag = "Organizations",
    params(("organization" = String, Path)), request_body = Rename,
    responses((status = 200, body = OrganizationItem)))]
pub async fn update_organization(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
    Json(body): Json<Rename>,
) -> Result<Json<OrganizationItem>, Problem> {
    Ok(Json(
        organizations::rename(&ctx, organization, &body.name).await?,
    ))
}

/// All workspaces of an organization, for its owners.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/workspaces", tag = "Organizations",
    params(("organization" = String, Path)), responses((status = 200, body = Page<WorkspaceItem>)))]
pub async fn list_organization_workspaces(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
) -> Result<Json<Page<WorkspaceItem>>, Problem> {
    Ok(Json(organizations::workspaces(&ctx, organization).await?))
}

/// Make a workspace. The caller becomes its owner.
#[utoipa::path(post, path = "/api/v1/organizations/{organization}/workspaces", tag = "Organizations",
    params(("organization" = String, Path)), request_body = Rename,
    responses((status = 201, body = WorkspaceItem)))]
pub async fn create_workspace(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
    Json(body): Json<Rename>,
) -> Result<(StatusCode, Json<WorkspaceItem>), Problem> {
    let made = organizations::create_workspace(&ctx, organization, &body.name).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Everybody in an organization, for its owners.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/people", tag = "Organizations",
    params(("organization" = String, Path)), responses((status = 200, body = Page<OrganizationPerson>)))]
pub async fn list_people(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
) -> Result<Json<Page<OrganizationPerson>>, Problem> {
    Ok(Json(organizations::people(&ctx, organization).await?))
}

/// Make somebody in the organization an owner of it. Needs a sign-in of the last ten minutes, so no token does it.
#[utoipa::path(put, path = "/api/v1/organizations/{organization}/owners/{user}", tag = "Organizations",
    params(("organization" = String, Path), ("user" = String, Path)), responses((status = 204)))]
pub async fn add_owner(
    ctx: Ctx,
    Path((organization, user)): Path<(OrganizationId, UserId)>,
) -> Result<StatusCode, Problem> {
    organizations::add_owner(&ctx, organization, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End somebody's ownership of the organization. Needs a sign-in of the last ten minutes.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/owners/{user}", tag = "Organizations",
    params(("organization" = String, Path), ("user" = String, Path)), responses((status = 204)))]
pub async fn remove_owner(
    ctx: Ctx,
    Path((organization, user)): Path<(OrganizationId, UserId)>,
) -> Result<StatusCode, Problem> {
    organizations::remove_owner(&ctx, organization, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The workspaces that the caller belongs to.
#[utoipa::path(get, path = "/api/v1/workspaces", tag = "Workspaces",
    responses((status = 200, body = Page<Membership>)))]
pub async fn list_workspaces(ctx: Ctx) -> Result<Json<Page<Membership>>, Problem> {
    ops::reach(&ctx, &[Scope::MembersRead])?;
    let mine = ops::memberships(&ctx.services, ctx.actor.user()).await?;
    Ok(Json(Page::whole(mine)))
}

/// One workspace.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}", tag = "Workspaces",
    params(("workspace" = String, Path)), responses((status = 200, body = WorkspaceItem)))]
pub async fn read_workspace(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<WorkspaceItem>, Problem> {
    Ok(Json(workspaces::get(&ctx, workspace).await?))
}

/// Rename a workspace.
#[utoipa::path(patch, path = "/api/v1/workspaces/{workspace}", tag = "Workspaces",
    params(("workspace" = String, Path)), request_body = Rename,
    responses((status = 200, body = WorkspaceItem)))]
pub async fn update_workspace(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Json(body): Json<Rename>,
) -> Result<Json<WorkspaceItem>, Problem> {
    Ok(Json(workspaces::rename(&ctx, workspace, &body.name).await?))
}

/// Delete a workspace with everything in it. Containers are deleted first. Needs a sign-in of the last ten minutes.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}", tag = "Workspaces",
    params(("workspace" = String, Path)), responses((status = 204)))]
pub async fn delete_workspace(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<StatusCode, Problem> {
    workspaces::delete(&ctx, workspace).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The members of a workspace.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/members", tag = "Members",
    params(("workspace" = String, Path)), responses((status = 200, body = Page<Member>)))]
pub async fn list_members(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Page<Member>>, Problem> {
    Ok(Json(people::list(&ctx, workspace).await?))
}

/// One member.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/members/{user}", tag = "Members",
    params(("workspace" = String, Path), ("user" = String, Path)), responses((status = 200, body = Member)))]
pub async fn read_member(
    ctx: Ctx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
) -> Result<Json<Member>, Problem> {
    Ok(Json(people::get(&ctx, workspace, user).await?))
}

/// Another role.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoleChange {
    role: Role,
}

/// Give a member another role. By a session it needs a sign-in of the last ten minutes; making an admin, and making or
/// unmaking an owner, always does, so no token does it.
#[utoipa::path(patch, path = "/api/v1/workspaces/{workspace}/members/{user}", tag = "Members",
    params(("workspace" = String, Path), ("user" = String, Path)), request_body = RoleChange,
    responses((status = 200, body = Member)))]
pub async fn update_member(
    ctx: Ctx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
    Json(body): Json<RoleChange>,
) -> Result<Json<Member>, Problem> {
    Ok(Json(
        people::set_role(&ctx, workspace, user, body.role).await?,
    ))
}

/// Remove a member. What they have open ends at once; their container stops and stays until an admin deletes it.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/members/{user}", tag = "Members",
    params(("workspace" = String, Path), ("user" = String, Path)), responses((status = 204)))]
pub async fn remove_member(
    ctx: Ctx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
) -> Result<StatusCode, Problem> {
    people::remove(&ctx, workspace, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leave a workspace.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/leave", tag = "Members",
    params(("workspace" = String, Path)), responses((status = 204)))]
pub async fn leave(ctx: Ctx, Path(workspace): Path<WorkspaceId>) -> Result<StatusCode, Problem> {
    people::leave(&ctx, workspace).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who takes over.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// A member of the workspace.
    to: UserId,
}

/// Hand the workspace over: the member becomes its owner, the caller an admin. Needs a sign-in of the last ten minutes.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/transfer", tag = "Members",
    params(("workspace" = String, Path)), request_body = Transfer, responses((status = 204)))]
pub async fn transfer(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Json(body): Json<Transfer>,
) -> Result<StatusCode, Problem> {
    people::transfer(&ctx, workspace, body.to).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Open invitations.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/invitations", tag = "Members",
    params(("workspace" = String, Path)), responses((status = 200, body = Page<Invitation>)))]
pub async fn list_invitations(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Page<Invitation>>, Problem> {
    Ok(Json(invitations::list(&ctx, workspace).await?))
}

/// Somebody to invite.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// Where the link is sent, and the address that the account will have.
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// What they are to be.
    role: Role,
}

/// Invite somebody. The link goes to them by mail; without a mail server, or when that fails, it is in the answer.
/// Inviting an admin or an owner needs a sign-in of the last ten minutes, so no token does it.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/invitations", tag = "Members",
    params(("workspace" = String, Path)), request_body = Invite, responses((status = 201, body = InvitationLink)))]
pub async fn create_invitation(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
    Json(body): Json<Invite>,
) -> Result<(StatusCode, Json<InvitationLink>), Problem> {
    let made = invitations::create(&ctx, workspace, &body.email, body.role).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Take an invitation back.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/invitations/{invitation}", tag = "Members",
    params(("workspace" = String, Path), ("invitation" = String, Path)), responses((status = 204)))]
pub async fn revoke_invitation(
    ctx: Ctx,
    Path((workspace, invitation)): Path<(WorkspaceId, InvitationId)>,
) -> Result<StatusCode, Problem> {
    invitations::revoke(&ctx, workspace, invitation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new link for an invitation, which then has a new id; the old link ends. Needs what inviting needs.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/invitations/{invitation}/resend", tag = "Members",
    params(("workspace" = String, Path), ("invitation" = String, Path)),
    responses((status = 201, body = InvitationLink)))]
pub async fn resend_invitation(
    ctx: Ctx,
    Path((workspace, invitation)): Path<(WorkspaceId, InvitationId)>,
) -> Result<(StatusCode, Json<InvitationLink>), Problem> {
    let made = invitations::resend(&ctx, workspace, invitation).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// The last part of an invitation's link.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    token: String,
}

/// Where the caller is a member now.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct Accepted {
    workspace_id: WorkspaceId,
}

/// Accept an invitation for the caller, whose address must be the invited one.
#[utoipa::path(post, path = "/api/v1/invitations/accept", tag = "Members", request_body = Accept,
    responses((status = 200, body = Accepted),
        (status = 404, description = "The invitation was used or taken back, or has ended")))]
pub async fn accept_invitation(
    ctx: Ctx,
    Json(body): Json<Accept>,
) -> Result<Json<Accepted>, Problem> {
    let workspace_id = invitations::accept(&ctx, &body.token).await?;
    Ok(Json(Accepted { workspace_id }))
}
