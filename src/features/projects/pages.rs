//! The pages of projects.

use askama::Template;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::model::{Project, Source};
use super::{import, ops};
use crate::authz::{PermissionId, Role};
use crate::context::Services;
use crate::features::members;
use crate::kernel::{Code, Problem, ProjectId, WorkspaceId};
use crate::web::{
    Chrome, FieldError, PageCtx, PageForm, PageMultipart, Path, field_text, html, time,
};

/// The routes of these pages. `max_import_bytes` bounds an uploaded archive.
pub fn pages(max_import_bytes: usize) -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/projects", get(index))
        .route(
            "/workspaces/{workspace}/projects/new",
            get(new).post(create).layer(DefaultBodyLimit::max(
                max_import_bytes.saturating_add(1 << 20),
            )),
        )
        .route("/workspaces/{workspace}/projects/{project}", get(ide))
        .route(
            "/workspaces/{workspace}/projects/{project}/delete",
            post(delete),
        )
}

struct Row {
    id: String,
    name: String,
    slug: String,
    source: String,
    framework: Option<String>,
    created: String,
}

impl From<Project> for Row {
    fn from(project: Project) -> Self {
        let source = match project.source {
            Source::Git { url, .. } => url,
            Source::Archive {} => "imported archive".to_owned(),
            Source::Empty {} => "empty folder".to_owned(),
        };
        Self {
            id: project.id.to_string(),
            name: project.name,
            slug: project.slug,
            source,
            framework: project.framework,
            created: time::minute(project.created_at_ms),
        }
    }
}

#[derive(Template)]
#[template(path = "projects/index.html")]
struct Index {
    chrome: Chrome,
    projects: Vec<Row>,
    may_create: bool,
}

fn may_create(chrome: &Chrome) -> bool {
    chrome
        .workspace
        .as_ref()
        .and_then(|workspace| workspace.role.parse::<Role>().ok())
        .is_some_and(|role| role.allows(PermissionId::ProjectsWrite))
}

async fn index(page: PageCtx, Path(workspace): Path<WorkspaceId>) -> Result<Response, Problem> {
    let chip = members::workspace_chip(&page.ctx, workspace).await?;
    let projects = ops::list(&page.ctx, workspace)
        .await?
        .items
        .into_iter()
        .map(Row::from)
        .collect();
    let chrome = Chrome::of(&page, Some(chip), "projects");
    html(&Index {
        may_create: may_create(&chrome),
        chrome,
        projects,
    })
}

#[derive(Default)]
struct Fields {
    name: String,
    kind: String,
    url: String,
    branch: String,
}

#[derive(Template)]
#[template(path = "projects/new.html")]
struct New {
    chrome: Chrome,
    form: Fields,
    errors: Vec<FieldError>,
}

async fn new(page: PageCtx, Path(workspace): Path<WorkspaceId>) -> Result<Response, Problem> {
    let chip = members::workspace_chip(&page.ctx, workspace).await?;
    html(&New {
        chrome: Chrome::of(&page, Some(chip), "projects"),
        form: Fields::default(),
        errors: Vec::new(),
    })
}

async fn create(
    Path(workspace): Path<WorkspaceId>,
    PageMultipart { page, mut fields }: PageMultipart,
) -> Result<Response, Problem> {
    let mut form = Fields::default();
    let mut upload = None;
    let broken = |error: axum::extract::multipart::MultipartError| {
        Problem::new(
            Code::BadRequest,
            format!("The form broke off: {}. Send it again.", error.body_text()),
        )
    };
    while let Some(field) = fields.next_field().await.map_err(broken)? {
        match field.name().unwrap_or_default() {
            "name" => form.name = field_text(field).await?,
            "kind" => form.kind = field_text(field).await?,
            "url" => form.url = field_text(field).await?,
            "branch" => form.branch = field_text(field).await?,
            "archive"
                if form.kind == "archive"
                    && field.file_name().is_some_and(|name| !name.is_empty()) =>
            {
                // Asked first, so that a stranger's gigabyte is not read.
                upload = Some(
                    match ops::may_import(&page.ctx, workspace, &form.name).await {
                        Ok(()) => {
                            let user = page.ctx.actor.user();
                            import::receive(&page.ctx.services, user, field).await
                        }
                        Err(problem) => Err(problem),
                    },
                );
            }
            _ => {}
        }
    }
    let made = match (form.kind.as_str(), upload) {
        ("archive", Some(Ok(upload))) => {
            ops::import(&page.ctx, workspace, &form.name, upload).await
        }
        ("archive", Some(Err(problem))) => Err(problem),
        ("archive", None) => Err(Problem::new(
            Code::Unprocessable,
            "archive: Choose a .tar.gz or .zip file.",
        )),
        ("git", _) => {
            let branch = Some(form.branch.trim().to_owned()).filter(|branch| !branch.is_empty());
            let source = Source::Git {
                url: form.url.trim().to_owned(),
                branch,
            };
            ops::create(&page.ctx, workspace, &form.name, source).await
        }
        _ => ops::create(&page.ctx, workspace, &form.name, Source::Empty {}).await,
    };
    match made {
        Ok(project) => Ok(Redirect::to(&format!(
            "/workspaces/{workspace}/projects/{}",
            project.id
        ))
        .into_response()),
        Err(problem)
            if matches!(
                problem.code,
                Code::Unprocessable | Code::Conflict | Code::TooLarge | Code::UnsupportedMediaType
            ) =>
        {
            let chip = members::workspace_chip(&page.ctx, workspace).await?;
            let chrome = Chrome::of(&page, Some(chip), "projects");
            let fallback = if form.kind == "archive" {
                "archive"
            } else {
                ""
            };
            let errors = vec![FieldError::of(
                &problem,
                &["name", "url", "branch", "archive"],
                fallback,
            )];
            let mut response = html(&New {
                chrome,
                errors,
                form,
            })?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Template)]
#[template(path = "containers/ide.html")]
struct Ide {
    chrome: Chrome,
    workspace_id: String,
    project: Project,
}

async fn ide(
    page: PageCtx,
    Path((workspace, project)): Path<(WorkspaceId, ProjectId)>,
) -> Result<Response, Problem> {
    let project = ops::get(&page.ctx, workspace, project).await?;
    let chip = members::workspace_chip(&page.ctx, workspace).await?;
    html(&Ide {
        chrome: Chrome::of(&page, Some(chip), "projects"),
        workspace_id: workspace.to_string(),
        project,
    })
}

#[derive(Deserialize)]
struct Nothing {}

async fn delete(
    Path((workspace, project)): Path<(WorkspaceId, ProjectId)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    ops::delete(&page.ctx, workspace, project).await?;
    Ok(Redirect::to(&format!("/workspaces/{workspace}/projects")).into_response())
}
