//! The pages of members, of a workspace's settings, and of organizations.

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::model::InvitationLink;
use super::permissions::{PermissionRow, permission_rows};
use super::{
    invitations, names, organization_pages, organizations, people, workspace_chip, workspaces,
};
use crate::authz::{PermissionId, Role};
use crate::context::Services;
use crate::kernel::{Code, InvitationId, Problem, UserId, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, html, time};

/// The routes of these pages.
pub fn pages() -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/members", get(index).post(invite))
        .route(
            "/workspaces/{workspace}/members/{user}/role",
            post(set_role),
        )
        .route(
            "/workspaces/{workspace}/members/{user}/remove",
            post(remove),
        )
        .route(
            "/workspaces/{workspace}/invitations/{invitation}/resend",
            post(resend),
        )
        .route(
            "/workspaces/{workspace}/invitations/{invitation}/revoke",
            post(revoke),
        )
        .route(
            "/workspaces/{workspace}/settings",
            get(settings).post(rename),
        )
        .route("/workspaces/{workspace}/leave", post(leave))
        .route("/workspaces/{workspace}/transfer", post(transfer))
        .route("/workspaces/{workspace}/delete", post(delete))
        .merge(organization_pages::pages())
}

struct MemberRow {
    id: String,
    name: String,
    email: Option<String>,
    service: bool,
    role: &'static str,
    you: bool,
    since: String,
    /// Roles that the viewer may give to them; empty when they may not.
    choices: Vec<&'static str>,
    may_remove: bool,
}

struct InvitationRow {
    id: String,
    email: String,
    role: &'static str,
    invited_by: String,
    expires: String,
    expired: bool,
}

#[derive(Template)]
#[template(path = "members/index.html")]
struct Index {
    chrome: Chrome,
    members: Vec<MemberRow>,
    invitations: Vec<InvitationRow>,
    may_manage: bool,
    invite_roles: Vec<&'static str>,
    form_email: String,
    form_role: String,
    made: Option<InvitationLink>,
    permissions: Vec<PermissionRow>,
    errors: Vec<FieldError>,
}

/// Roles that somebody may give to a member who has `from`.
fn choices(by: Role, from: Option<Role>) -> Vec<&'static str> {
    let reach: &[Role] = match by {
        Role::Owner => &Role::ALL,
        Role::Admin if from != Some(Role::Owner) => &[Role::Admin, Role::User, Role::Viewer],
        _ => &[],
    };
    reach.iter().map(|role| role.as_str()).collect()
}

async fn show(
    page: &PageCtx,
    workspace: WorkspaceId,
    made: Option<InvitationLink>,
    form: (String, String),
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let chip = workspace_chip(&page.ctx, workspace).await?;
    let role: Role = chip.role.parse().map_err(Problem::internal)?;
    let may_manage = role.allows(PermissionId::MembersManage);
    let members = people::list(&page.ctx, workspace).await?.items;
    let open = if may_manage {
        invitations::list(&page.ctx, workspace).await?.items
    } else {
        Vec::new()
    };
    let inviters = names(&page.ctx.services, open.iter().map(|one| one.invited_by)).await?;
    let rows = members.into_iter().map(|member| MemberRow {
        id: member.id.to_string(),
        choices: if member.service && role != Role::Viewer && may_manage {
            vec!["admin", "user", "viewer"]
        } else {
            choices(role, Some(member.role))
        },
        may_remove: may_manage
            && !member.service
            && !member.you
            && (member.role != Role::Owner || role == Role::Owner),
        name: member.name,
        email: member.email,
        service: member.service,
        role: member.role.as_str(),
        you: member.you,
        since: time::minute(member.since_ms),
    });
    let invitations = open.into_iter().map(|one| InvitationRow {
        id: one.id.to_string(),
        email: one.email,
        role: one.role.as_str(),
        invited_by: inviters.get(&one.invited_by).cloned().unwrap_or_default(),
        expires: time::minute(one.expires_at_ms),
        expired: one.expired,
    });
    html(&Index {
        members: rows.collect(),
        invitations: invitations.collect(),
        may_manage,
        invite_roles: choices(role, None),
        form_email: form.0,
        form_role: form.1,
        made,
        permissions: permission_rows(),
        errors,
        chrome: Chrome::of(page, Some(chip), "members"),
    })
}

async fn index(page: PageCtx, Path(workspace): Path<WorkspaceId>) -> Result<Response, Problem> {
    let form = (String::new(), "user".to_owned());
    show(&page, workspace, None, form, Vec::new()).await
}

#[derive(Deserialize)]
struct InviteForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    role: String,
}

async fn invite(
    Path(workspace): Path<WorkspaceId>,
    PageForm { page, form }: PageForm<InviteForm>,
) -> Result<Response, Problem> {
    let made = match form.role.parse::<Role>() {
        Ok(role) => invitations::create(&page.ctx, workspace, &form.email, role).await,
        Err(message) => Err(Problem::new(
            Code::Unprocessable,
            format!("role: {message}."),
        )),
    };
    match made {
        Ok(made) => {
            // Not a redirect: the link is shown this once.
            let form = (String::new(), "user".to_owned());
            show(&page, workspace, Some(made), form, Vec::new()).await
        }
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            Ok(to_reauthenticate(&members_of(workspace)))
        }
        Err(problem) if matches!(problem.code, Code::Unprocessable | Code::Conflict) => {
            let errors = vec![FieldError::of(&problem, &["email", "role"], "")];
            let form = (form.email, form.role);
            let mut response = show(&page, workspace, None, form, errors).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

async fn resend(
    Path((workspace, invitation)): Path<(WorkspaceId, InvitationId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    match invitations::resend(&page.ctx, workspace, invitation).await {
        Ok(made) => {
            let form = (String::new(), "user".to_owned());
            show(&page, workspace, Some(made), form, Vec::new()).await
        }
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            Ok(to_reauthenticate(&members_of(workspace)))
        }
        Err(problem) => Err(problem),
    }
}

async fn revoke(
    Path((workspace, invitation)): Path<(WorkspaceId, InvitationId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    invitations::revoke(&page.ctx, workspace, invitation).await?;
    Ok(to_members(workspace))
}

fn members_of(workspace: WorkspaceId) -> String {
    format!("/workspaces/{workspace}/members")
}

fn to_members(workspace: WorkspaceId) -> Response {
    Redirect::to(&members_of(workspace)).into_response()
}

/// To the page that asks for the password again, which leads back.
fn to_reauthenticate(back: &str) -> Response {
    let next: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
    Redirect::to(&format!("/account/reauthenticate?next={next}")).into_response()
}

/// A page that needs a fresh sign-in leads there and back; any other problem is shown.
pub(super) fn fresh(
    done: Result<(), Problem>,
    back: &str,
    then: Response,
) -> Result<Response, Problem> {
    match done {
        Ok(()) => Ok(then),
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            Ok(to_reauthenticate(back))
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Deserialize)]
struct RoleForm {
    role: String,
}

async fn set_role(
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
    PageForm { page, form }: PageForm<RoleForm>,
) -> Result<Response, Problem> {
    let role = form
        .role
        .parse::<Role>()
        .map_err(|message| Problem::new(Code::Unprocessable, format!("role: {message}.")))?;
    let done = people::set_role(&page.ctx, workspace, user, role).await;
    let back = format!("/workspaces/{workspace}/members");
    fresh(done.map(|_| ()), &back, to_members(workspace))
}

async fn remove(
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    let done = people::remove(&page.ctx, workspace, user).await;
    let back = format!("/workspaces/{workspace}/members");
    fresh(done, &back, to_members(workspace))
}

#[derive(Template)]
#[template(path = "members/settings.html")]
struct Settings {
    chrome: Chrome,
    id: String,
    name: String,
    organization_id: String,
    owns_organization: bool,
    may_manage: bool,
    may_delete: bool,
    is_owner: bool,
    heirs: Vec<(String, String)>,
    errors: Vec<FieldError>,
}

async fn show_settings(
    page: &PageCtx,
    workspace: WorkspaceId,
    name: Option<String>,
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let chip = workspace_chip(&page.ctx, workspace).await?;
    let role: Role = chip.role.parse().map_err(Problem::internal)?;
    let row = workspaces::get(&page.ctx, workspace).await?;
    let members = people::list(&page.ctx, workspace).await?.items;
    let mine = organizations::list(&page.ctx).await?.items;
    html(&Settings {
        id: workspace.to_string(),
        name: name.unwrap_or(row.name),
        organization_id: row.organization_id.to_string(),
        owns_organization: mine
            .iter()
            .any(|one| one.owner && one.id == row.organization_id),
        may_manage: role.allows(PermissionId::WorkspaceManage),
        may_delete: role.allows(PermissionId::WorkspaceDelete),
        is_owner: role == Role::Owner,
        heirs: members
            .into_iter()
            .filter(|member| !member.you && !member.service)
            .map(|member| (member.id.to_string(), member.name))
            .collect(),
        errors,
        chrome: Chrome::of(page, Some(chip), "settings"),
    })
}

async fn settings(page: PageCtx, Path(workspace): Path<WorkspaceId>) -> Result<Response, Problem> {
    show_settings(&page, workspace, None, Vec::new()).await
}

#[derive(Deserialize)]
pub(super) struct NameForm {
    #[serde(default)]
    pub name: String,
}

async fn rename(
    Path(workspace): Path<WorkspaceId>,
    PageForm { page, form }: PageForm<NameForm>,
) -> Result<Response, Problem> {
    match workspaces::rename(&page.ctx, workspace, &form.name).await {
        Ok(_) => Ok(Redirect::to(&format!("/workspaces/{workspace}/settings")).into_response()),
        Err(problem) if problem.code == Code::Unprocessable => {
            let errors = vec![FieldError::of(&problem, &["name"], "")];
            let mut response = show_settings(&page, workspace, Some(form.name), errors).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

async fn leave(
    Path(workspace): Path<WorkspaceId>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    people::leave(&page.ctx, workspace).await?;
    Ok(Redirect::to("/").into_response())
}

#[derive(Deserialize)]
struct TransferForm {
    to: UserId,
}

async fn transfer(
    Path(workspace): Path<WorkspaceId>,
    PageForm { page, form }: PageForm<TransferForm>,
) -> Result<Response, Problem> {
    let done = people::transfer(&page.ctx, workspace, form.to).await;
    let back = format!("/workspaces/{workspace}/settings");
    fresh(done, &back, to_members(workspace))
}

async fn delete(
    Path(workspace): Path<WorkspaceId>,
    PageForm { page, form }: PageForm<NameForm>,
) -> Result<Response, Problem> {
    let row = workspaces::get(&page.ctx, workspace).await?;
    if row.name != form.name.trim() {
        let errors = vec![FieldError {
            field: "confirm".to_owned(),
            message: format!("This is not its name. Type {:?} to delete it.", row.name),
        }];
        let mut response = show_settings(&page, workspace, None, errors).await?;
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(response);
    }
    let done = workspaces::delete(&page.ctx, workspace).await;
    let back = format!("/workspaces/{workspace}/settings");
    fresh(done, &back, Redirect::to("/").into_response())
}
