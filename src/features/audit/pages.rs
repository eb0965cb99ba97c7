//! The pages of the log: a workspace's, and an organization's with its sinks.

use std::collections::HashMap;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::filter::Asked;
use super::model::AuditEntry;
use super::ops::{self, Scope};
use super::sinks::model::{ChangeSink, NewSink, Sink, Target, TestResult};
use super::{Action, Lately, api, sinks};
use crate::context::Services;
use crate::kernel::{AuditSinkId, Code, OrganizationId, Problem, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, Query, WorkspaceChip, html, time};

/// The routes of these pages.
pub fn pages() -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/audit", get(workspace))
        .route(
            "/workspaces/{workspace}/audit/export",
            get(export_workspace),
        )
        .route("/workspaces/{workspace}/audit/{seq}", get(workspace_entry))
        .route("/organizations/{organization}/audit", get(organization))
        .route(
            "/organizations/{organization}/audit/export",
            get(export_organization),
        )
        .route(
            "/organizations/{organization}/audit/{seq}",
            get(organization_entry),
        )
        .route("/organizations/{organization}/audit/sinks", post(add_sink))
        .route(
            "/organizations/{organization}/audit/sinks/{sink}/{act}",
            post(act_on_sink),
        )
        .layer(Extension(Lately::default()))
}

struct Row {
    entry: AuditEntry,
    when: String,
    ago: String,
    /// The workspace's name, on an organization's page.
    place: String,
}

struct Group {
    name: String,
    prefix: String,
    actions: Vec<Action>,
}

#[derive(Template)]
#[template(path = "audit/index.html")]
struct Index {
    chrome: Chrome,
    intro: String,
    base: String,
    asked: Asked,
    /// What is asked, without the place in the list.
    question: String,
    actions: Vec<Group>,
    entries: Vec<Row>,
    next: Option<String>,
    errors: Vec<FieldError>,
    organization: Option<OrganizationId>,
    sinks: Vec<Sink>,
    secret: Option<String>,
    tested: Option<TestResult>,
}

#[derive(Template)]
#[template(path = "audit/entry.html")]
struct EntryPage {
    chrome: Chrome,
    base: String,
    row: Row,
}

/// What a page of the log needs to know of whose it is.
struct Place {
    chrome: Chrome,
    base: String,
    intro: String,
    workspaces: HashMap<WorkspaceId, String>,
}

async fn place(page: &PageCtx, scope: Scope) -> Result<Place, Problem> {
    match scope {
        Scope::Workspace(id) => {
            let (name, role) = ops::workspace_name(&page.ctx, id).await?;
            let intro = format!(
                "Who did what in {name}, newest first. Each entry is sealed to the one before it."
            );
            let chip = WorkspaceChip {
                id: id.to_string(),
                name,
                role: role.as_str().to_owned(),
            };
            Ok(Place {
                chrome: Chrome::of(page, Some(chip), "audit"),
                base: format!("/workspaces/{id}/audit"),
                intro,
                workspaces: HashMap::new(),
            })
        }
        Scope::Organization(id) => {
            let (name, workspaces) = ops::organization_name(&page.ctx, id).await?;
            Ok(Place {
                chrome: Chrome::of(page, None, "audit"),
                base: format!("/organizations/{id}/audit"),
                intro: format!(
                    "Who did what in {name} and all its workspaces, sign-ins too, newest first. Each entry is sealed to the one before it."
                ),
                workspaces,
            })
        }
    }
}

fn row(entry: AuditEntry, now_ms: i64, workspaces: &HashMap<WorkspaceId, String>) -> Row {
    let place = entry
        .workspace
        .and_then(|id| workspaces.get(&id).cloned())
        .unwrap_or_default();
    Row {
        when: time::minute(entry.at_ms).replace(" UTC", ""),
        ago: ago(now_ms - entry.at_ms),
        place,
        entry,
    }
}

/// How long ago, in the largest unit that fits.
fn ago(passed_ms: i64) -> String {
    let minutes = passed_ms / 60_000;
    let (count, unit) = match minutes {
        ..1 => return "just now".to_owned(),
        1..60 => (minutes, "minute"),
        60..1_440 => (minutes / 60, "hour"),
        _ => (minutes / 1_440, "day"),
    };
    format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" })
}

/// Actions under what they are about.
fn groups() -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for action in Action::ALL {
        let feature = action.as_str().split('.').next().unwrap_or_default();
        let prefix = format!("{feature}.");
        match groups.iter_mut().find(|group| group.prefix == prefix) {
            Some(group) => group.actions.push(*action),
            None => groups.push(Group {
                name: feature.replace('_', " "),
                prefix,
                actions: vec![*action],
            }),
        }
    }
    groups
}

/// What is shown beside the log.
#[derive(Default)]
struct Beside {
    errors: Vec<FieldError>,
    secret: Option<String>,
    tested: Option<TestResult>,
}

async fn show(
    page: &PageCtx,
    lately: &Lately,
    scope: Scope,
    asked: Asked,
    mut beside: Beside,
) -> Result<Response, Problem> {
    let Place {
        chrome,
        base,
        intro,
        workspaces,
    } = place(page, scope).await?;
    let found = match ops::list(&page.ctx, lately, scope, &asked).await {
        Ok(found) => found,
        Err(problem) if matches!(problem.code, Code::Unprocessable | Code::BadRequest) => {
            beside.errors.push(FieldError::of(&problem, &[], ""));
            crate::kernel::Page::whole(Vec::new())
        }
        Err(problem) => return Err(problem),
    };
    let (organization, sinks) = match scope {
        Scope::Workspace(_) => (None, Vec::new()),
        Scope::Organization(id) => (Some(id), sinks::ops::list(&page.ctx, id).await?.items),
    };
    let bare = Asked {
        cursor: String::new(),
        ..asked.clone()
    };
    let question = serde_urlencoded::to_string(&bare).map_err(Problem::internal)?;
    let next = found.next.map(|cursor| {
        let older = Asked { cursor, ..bare };
        serde_urlencoded::to_string(older).map(|query| format!("{base}?{query}"))
    });
    let now = page.ctx.now_ms();
    let wrong = !beside.errors.is_empty();
    let mut response = html(&Index {
        chrome,
        intro,
        actions: groups(),
        entries: found
            .items
            .into_iter()
            .map(|entry| row(entry, now, &workspaces))
            .collect(),
        next: next.transpose().map_err(Problem::internal)?,
        base,
        asked,
        question,
        errors: beside.errors,
        organization,
        sinks,
        secret: beside.secret,
        tested: beside.tested,
    })?;
    if wrong {
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    }
    Ok(response)
}

async fn show_entry(
    page: &PageCtx,
    lately: &Lately,
    scope: Scope,
    seq: i64,
) -> Result<Response, Problem> {
    let place = place(page, scope).await?;
    let entry = ops::find(&page.ctx, lately, scope, seq).await?;
    html(&EntryPage {
        chrome: place.chrome,
        base: place.base,
        row: row(entry, page.ctx.now_ms(), &place.workspaces),
    })
}

async fn workspace(
    page: PageCtx,
    Extension(lately): Extension<Lately>,
    Path(id): Path<WorkspaceId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    show(
        &page,
        &lately,
        Scope::Workspace(id),
        asked,
        Beside::default(),
    )
    .await
}

async fn workspace_entry(
    page: PageCtx,
    Extension(lately): Extension<Lately>,
    Path((id, seq)): Path<(WorkspaceId, i64)>,
) -> Result<Response, Problem> {
    show_entry(&page, &lately, Scope::Workspace(id), seq).await
}

async fn export_workspace(
    page: PageCtx,
    Path(id): Path<WorkspaceId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    api::export(&page.ctx, Scope::Workspace(id), &asked).await
}

async fn organization(
    page: PageCtx,
    Extension(lately): Extension<Lately>,
    Path(id): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    show(
        &page,
        &lately,
        Scope::Organization(id),
        asked,
        Beside::default(),
    )
    .await
}

async fn organization_entry(
    page: PageCtx,
    Extension(lately): Extension<Lately>,
    Path((id, seq)): Path<(OrganizationId, i64)>,
) -> Result<Response, Problem> {
    show_entry(&page, &lately, Scope::Organization(id), seq).await
}

async fn export_organization(
    page: PageCtx,
    Path(id): Path<OrganizationId>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    api::export(&page.ctx, Scope::Organization(id), &asked).await
}

#[derive(Deserialize)]
struct SinkForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    place: String,
    #[serde(default)]
    ca_pem: String,
    #[serde(default)]
    from_beginning: String,
}

impl SinkForm {
    fn target(&self) -> Target {
        let place = self.place.trim();
        if self.kind != "syslog" {
            return Target::Webhook {
                url: place.to_owned(),
            };
        }
        let (host, port) = place
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .unwrap_or((place, 6514));
        Target::Syslog {
            host: host.to_owned(),
            port,
            tls: true,
            ca_pem: Some(self.ca_pem.clone()).filter(|pem| !pem.trim().is_empty()),
            accept_unencrypted: false,
        }
    }
}

async fn add_sink(
    Extension(lately): Extension<Lately>,
    Path(id): Path<OrganizationId>,
    PageForm { page, form }: PageForm<SinkForm>,
) -> Result<Response, Problem> {
    let new = NewSink {
        target: form.target(),
        name: form.name,
        from_beginning: !form.from_beginning.is_empty(),
    };
    let beside = match sinks::ops::create(&page.ctx, id, new).await {
        // Shown this once, so it cannot wait for a redirect.
        Ok(made) if made.secret.is_some() => Beside {
            secret: made.secret,
            ..Beside::default()
        },
        Ok(_) => return Ok(back(id)),
        Err(problem) if matches!(problem.code, Code::Unprocessable | Code::Conflict) => Beside {
            errors: vec![FieldError::of(&problem, &[], "")],
            ..Beside::default()
        },
        Err(problem) => return Err(problem),
    };
    show(
        &page,
        &lately,
        Scope::Organization(id),
        Asked::default(),
        beside,
    )
    .await
}

#[derive(Deserialize)]
struct Nothing {}

async fn act_on_sink(
    Extension(lately): Extension<Lately>,
    Path((id, sink, act)): Path<(OrganizationId, AuditSinkId, String)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    match act.as_str() {
        "test" => {
            let beside = Beside {
                tested: Some(sinks::ops::test(&page.ctx, id, sink).await?),
                ..Beside::default()
            };
            return show(
                &page,
                &lately,
                Scope::Organization(id),
                Asked::default(),
                beside,
            )
            .await;
        }
        "on" | "off" => {
            let change = ChangeSink {
                enabled: Some(act == "on"),
                ..ChangeSink::default()
            };
            sinks::ops::change(&page.ctx, id, sink, change).await?;
        }
        "delete" => sinks::ops::delete(&page.ctx, id, sink).await?,
        _ => return Err(Problem::not_found()),
    }
    Ok(back(id))
}

fn back(id: OrganizationId) -> Response {
    Redirect::to(&format!("/organizations/{id}/audit#sinks")).into_response()
}
