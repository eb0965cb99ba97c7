//! The pages of egress: a workspace's additions, and an organization's ceiling.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;

use super::lists;
use super::model::{OrganizationEgress, WorkspaceEgress};
use super::proxy::Egress;
use crate::authz::{PermissionId, Role};
use crate::context::Services;
use crate::features::members;
use crate::kernel::{Code, OrganizationId, Problem, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, html};

/// The routes of these pages.
pub fn pages(egress: Egress) -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/egress", get(workspace).post(add))
        .route(
            "/organizations/{organization}/egress",
            get(organization).post(limit),
        )
        .layer(Extension(egress))
}

#[derive(Template)]
#[template(path = "egress/workspace.html")]
struct WorkspacePage {
    chrome: Chrome,
    id: WorkspaceId,
    egress: WorkspaceEgress,
    /// What stands in the form.
    text: String,
    may_manage: bool,
    errors: Vec<FieldError>,
}

#[derive(Template)]
#[template(path = "egress/organization.html")]
struct OrganizationPage {
    chrome: Chrome,
    id: OrganizationId,
    egress: OrganizationEgress,
    /// What stands in the form.
    text: String,
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
struct HostsForm {
    /// An entry on each line.
    #[serde(default)]
    hosts: String,
}

impl HostsForm {
    fn entries(&self) -> Vec<String> {
        let lines = self.hosts.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

async fn show_workspace(
    page: &PageCtx,
    id: WorkspaceId,
    refused: Option<(String, &Problem)>,
) -> Result<Response, Problem> {
    let chip = members::workspace_chip(&page.ctx, id).await?;
    let role: Role = chip.role.parse().map_err(Problem::internal)?;
    let egress = lists::workspace(&page.ctx, id).await?;
    let (text, errors) = form(refused, &egress.additions, "additions");
    html(&WorkspacePage {
        id,
        text,
        may_manage: role.allows(PermissionId::EgressManage),
        errors,
        egress,
        chrome: Chrome::of(page, Some(chip), "settings"),
    })
}

async fn show_organization(
    page: &PageCtx,
    id: OrganizationId,
    refused: Option<(String, &Problem)>,
) -> Result<Response, Problem> {
    let egress = lists::organization(&page.ctx, id).await?;
    let (text, errors) = form(refused, &egress.ceiling, "ceiling");
    html(&OrganizationPage {
        id,
        text,
        errors,
        egress,
        chrome: Chrome::of(page, None, "organizations"),
    })
}

/// What the field holds, and what is wrong with it.
fn form(
    refused: Option<(String, &Problem)>,
    kept: &[String],
    field: &str,
) -> (String, Vec<FieldError>) {
    let Some((text, problem)) = refused else {
        return (kept.join("\n"), Vec::new());
    };
    let mut error = FieldError::of(problem, &[field], "");
    if !error.field.is_empty() {
        "hosts".clone_into(&mut error.field);
    }
    (text, vec![error])
}

async fn workspace(page: PageCtx, Path(id): Path<WorkspaceId>) -> Result<Response, Problem> {
    show_workspace(&page, id, None).await
}

async fn add(
    Extension(egress): Extension<Egress>,
    Path(id): Path<WorkspaceId>,
    PageForm { page, form }: PageForm<HostsForm>,
) -> Result<Response, Problem> {
    match lists::add(&page.ctx, &egress, id, &form.entries()).await {
        Ok(_) => Ok(Redirect::to(&format!("/workspaces/{id}/egress")).into_response()),
        Err(problem) if problem.code == Code::Unprocessable => {
            let shown = show_workspace(&page, id, Some((form.hosts, &problem))).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response())
        }
        Err(problem) => Err(problem),
    }
}

async fn organization(page: PageCtx, Path(id): Path<OrganizationId>) -> Result<Response, Problem> {
    show_organization(&page, id, None).await
}

async fn limit(
    Extension(egress): Extension<Egress>,
    Path(id): Path<OrganizationId>,
    PageForm { page, form }: PageForm<HostsForm>,
) -> Result<Response, Problem> {
    match lists::limit(&page.ctx, &egress, id, &form.entries()).await {
        Ok(_) => Ok(Redirect::to(&format!("/organizations/{id}/egress")).into_response()),
        Err(problem) if problem.code == Code::Unprocessable => {
            let shown = show_organization(&page, id, Some((form.hosts, &problem))).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response())
        }
        Err(problem) => Err(problem),
    }
}
