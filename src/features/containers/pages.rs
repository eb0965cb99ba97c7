//! The page of containers: whose run, with what, and the proof that they are apart.

use std::sync::Arc;

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::choice::{Choice, Choices};
use super::controller::Controller;
use super::model::{Container, State};
use super::pods::Proof;
use super::{choice, isolation, ops};
use crate::authz::{PermissionId, Role};
use crate::context::Services;
use crate::features::members;
use crate::kernel::{ContainerId, Problem, WorkspaceId};
use crate::web::{Chrome, PageCtx, PageForm, Path, html, time};

/// The routes of these pages.
pub fn pages(controller: Arc<Controller>) -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/containers", get(index).post(start))
        .route("/workspaces/{workspace}/containers/proof", post(prove))
        .route(
            "/workspaces/{workspace}/containers/{container}/stop",
            post(stop),
        )
        .route(
            "/workspaces/{workspace}/containers/{container}/delete",
            post(delete),
        )
        .layer(Extension(controller))
}

type Controls = Extension<Arc<Controller>>;

struct Row {
    container: Container,
    started: Option<String>,
    may_end: bool,
    is_on: bool,
}

struct ShownProof {
    proof: Proof,
    when: String,
    waiting: bool,
}

#[derive(Template)]
#[template(path = "containers/index.html")]
struct Index {
    chrome: Chrome,
    containers: Vec<Row>,
    mine: Option<Container>,
    choices: Choices,
    proof: Option<ShownProof>,
    may_use: bool,
    may_manage: bool,
}

async fn index(
    page: PageCtx,
    Extension(controller): Controls,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Response, Problem> {
    let ctx = &page.ctx;
    let chip = members::workspace_chip(ctx, workspace).await?;
    let all = ops::list(ctx, &controller, workspace).await?;
    let choices = choice::choices(ctx, workspace).await?;
    let proof = isolation::read(ctx, workspace).await?.proof;
    let role = chip.role.parse::<Role>().ok();
    let allows = |permission| role.is_some_and(|role| role.allows(permission));
    let may_manage = allows(PermissionId::ContainersManage);
    let mine = all.iter().find(|container| container.mine).cloned();
    let containers = all
        .into_iter()
        .map(|container| Row {
            started: container.started_at_ms.map(time::minute),
            may_end: container.mine || may_manage,
            is_on: !matches!(container.state, State::Stopped | State::Failed),
            container,
        })
        .collect();
    html(&Index {
        may_use: allows(PermissionId::ContainersUse),
        may_manage,
        chrome: Chrome::of(&page, Some(chip), "containers"),
        containers,
        mine,
        choices,
        proof: proof.map(|proof| ShownProof {
            when: time::minute(proof.checked_at_ms),
            waiting: proof.asked_at_ms > proof.checked_at_ms,
            proof,
        }),
    })
}

#[derive(Deserialize)]
struct StartForm {
    #[serde(default)]
    class: String,
    #[serde(default)]
    image: String,
}

async fn start(
    Extension(controller): Controls,
    Path(workspace): Path<WorkspaceId>,
    PageForm { page, form }: PageForm<StartForm>,
) -> Result<Response, Problem> {
    let chosen = |text: String| Some(text).filter(|text| !text.is_empty());
    let choice = Choice {
        class: chosen(form.class),
        image: chosen(form.image),
    };
    ops::create(&page.ctx, &controller, workspace, &choice).await?;
    Ok(back(workspace))
}

#[derive(Deserialize)]
struct Nothing {}

async fn stop(
    Extension(controller): Controls,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    ops::stop(&page.ctx, &controller, workspace, container).await?;
    Ok(back(workspace))
}

async fn delete(
    Extension(controller): Controls,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    ops::delete(&page.ctx, &controller, workspace, container).await?;
    Ok(back(workspace))
}

async fn prove(
    Path(workspace): Path<WorkspaceId>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    isolation::ask(&page.ctx, workspace).await?;
    Ok(back(workspace))
}

fn back(workspace: WorkspaceId) -> Response {
    Redirect::to(&format!("/workspaces/{workspace}/containers")).into_response()
}
