//! The pages of organizations, for their owners.

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::model::{OrganizationItem, OrganizationPerson, WorkspaceItem};
use super::organizations;
use super::pages::{NameForm, Nothing, fresh};
use crate::authz::permission::{ORGANIZATION_RIGHTS, OrganizationRight};
use crate::context::Services;
use crate::kernel::{Code, OrganizationId, Problem, UserId, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, html, time};

/// The routes of these pages.
pub(super) fn pages() -> Router<Services> {
    Router::new()
        .route("/organizations", get(index))
        .route(
            "/organizations/{organization}",
            get(organization).post(rename_organization),
        )
        .route(
            "/organizations/{organization}/workspaces",
            post(create_workspace),
        )
        .route(
            "/organizations/{organization}/owners/{user}/add",
            post(add_owner),
        )
        .route(
            "/organizations/{organization}/owners/{user}/remove",
            post(remove_owner),
        )
}

#[derive(Template)]
#[template(path = "members/organizations.html")]
struct Organizations {
    chrome: Chrome,
    organizations: Vec<OrganizationItem>,
    rights: &'static [OrganizationRight],
}

async fn index(page: PageCtx) -> Result<Response, Problem> {
    html(&Organizations {
        organizations: organizations::list(&page.ctx).await?.items,
        rights: ORGANIZATION_RIGHTS,
        chrome: Chrome::of(&page, None, "organizations"),
    })
}

#[derive(Template)]
#[template(path = "members/organization.html")]
struct Organization {
    chrome: Chrome,
    organization: OrganizationItem,
    workspaces: Vec<(WorkspaceItem, String, bool)>,
    people: Vec<(OrganizationPerson, String, bool)>,
    errors: Vec<FieldError>,
}

async fn show_organization(
    page: &PageCtx,
    id: OrganizationId,
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let organization = organizations::get(&page.ctx, id).await?;
    let places = organizations::workspaces(&page.ctx, id).await?.items;
    let people = organizations::people(&page.ctx, id).await?.items;
    let me = page.ctx.actor.user();
    let name_of = |id: WorkspaceId| {
        let place = places.iter().find(|place| place.id == id);
        place.map(|place| place.name.clone()).unwrap_or_default()
    };
    let where_of = |person: &OrganizationPerson| {
        let list: Vec<String> = person
            .workspaces
            .iter()
            .map(|place| format!("{} ({})", name_of(place.id), place.role.as_str()))
            .collect();
        list.join(", ")
    };
    let mine = |id: WorkspaceId| {
        people
            .iter()
            .any(|person| person.id == me && person.workspaces.iter().any(|place| place.id == id))
    };
    let workspaces = places
        .iter()
        .map(|place| {
            (
                place.clone(),
                time::minute(place.created_at_ms),
                mine(place.id),
            )
        })
        .collect();
    let people = people
        .iter()
        .map(|person| (person.clone(), where_of(person), person.id == me))
        .collect();
    html(&Organization {
        chrome: Chrome::of(page, None, "organizations"),
        organization,
        workspaces,
        people,
        errors,
    })
}

async fn organization(page: PageCtx, Path(id): Path<OrganizationId>) -> Result<Response, Problem> {
    show_organization(&page, id, Vec::new()).await
}

async fn named(
    page: &PageCtx,
    id: OrganizationId,
    field: &'static str,
    done: Result<(), Problem>,
) -> Result<Response, Problem> {
    match done {
        Ok(()) => Ok(Redirect::to(&format!("/organizations/{id}")).into_response()),
        Err(problem) if matches!(problem.code, Code::Unprocessable | Code::Conflict) => {
            let mut error = FieldError::of(&problem, &["name"], "");
            if error.field == "name" {
                field.clone_into(&mut error.field);
            }
            let mut response = show_organization(page, id, vec![error]).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

async fn rename_organization(
    Path(id): Path<OrganizationId>,
    PageForm { page, form }: PageForm<NameForm>,
) -> Result<Response, Problem> {
    let done = organizations::rename(&page.ctx, id, &form.name).await;
    named(&page, id, "name", done.map(|_| ())).await
}

async fn create_workspace(
    Path(id): Path<OrganizationId>,
    PageForm { page, form }: PageForm<NameForm>,
) -> Result<Response, Problem> {
    let done = organizations::create_workspace(&page.ctx, id, &form.name).await;
    named(&page, id, "workspace", done.map(|_| ())).await
}

async fn add_owner(
    Path((id, user)): Path<(OrganizationId, UserId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    let done = organizations::add_owner(&page.ctx, id, user).await;
    let back = format!("/organizations/{id}");
    fresh(done, &back, Redirect::to(&back).into_response())
}

async fn remove_owner(
    Path((id, user)): Path<(OrganizationId, UserId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    let own = user == page.ctx.actor.user();
    let done = organizations::remove_owner(&page.ctx, id, user).await;
    let back = format!("/organizations/{id}");
    let then = if own { "/" } else { &back };
    fresh(done, &back, Redirect::to(then).into_response())
}
