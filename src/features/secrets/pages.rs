//! The page of secrets.

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::model::{Scope, SecretItem, Tier};
use super::set::{self, NewSecret, Value};
use super::{ops, pages_delivery};
use crate::authz::{PermissionId, Role};
use crate::context::Services;
use crate::features::members;
use crate::kernel::{Code, Problem, SecretString, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, html, time};

/// The routes of this page.
pub fn pages() -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/secrets", get(index).post(set))
        .route(
            "/workspaces/{workspace}/secrets/{name}/delete",
            post(delete),
        )
}

struct Row {
    name: String,
    tier: String,
    description: String,
    version: i64,
    value: Option<String>,
    updated: String,
    updated_by: String,
    expires: Option<String>,
    expired: bool,
    delivered: Option<String>,
}

#[derive(Default)]
struct Fields {
    name: String,
    tier: String,
    description: String,
}

#[derive(Template)]
#[template(path = "secrets/index.html")]
struct Index {
    chrome: Chrome,
    secrets: Vec<Row>,
    form: Fields,
    errors: Vec<FieldError>,
    may_write: bool,
    may_reveal: bool,
    containers: pages_delivery::Section,
}

async fn show(
    page: &PageCtx,
    workspace: WorkspaceId,
    form: Fields,
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let chip = members::workspace_chip(&page.ctx, workspace).await?;
    let role: Option<Role> = chip.role.parse().ok();
    let may = |permission| role.is_some_and(|role| role.allows(permission));
    let items = ops::list(&page.ctx, workspace, Scope::Workspace)
        .await?
        .items;
    let names =
        members::names(&page.ctx.services, items.iter().map(|item| item.updated_by)).await?;
    let row = |item: SecretItem| Row {
        name: item.name,
        tier: item.tier.as_str().to_owned(),
        description: item.description,
        version: item.version,
        value: item.value,
        updated: time::minute(item.updated_at_ms),
        expires: item.expires_at_ms.map(time::minute),
        expired: item.expired,
        delivered: item.last_delivered_at_ms.map(time::minute),
        updated_by: names
            .get(&item.updated_by)
            .cloned()
            .unwrap_or_else(|| "a former member".to_owned()),
    };
    html(&Index {
        chrome: Chrome::of(page, Some(chip), "secrets"),
        secrets: items.into_iter().map(row).collect(),
        form,
        errors,
        may_write: may(PermissionId::SecretsWrite),
        may_reveal: may(PermissionId::SecretsReveal),
        containers: pages_delivery::section(&page.ctx, workspace).await?,
    })
}

async fn index(page: PageCtx, Path(workspace): Path<WorkspaceId>) -> Result<Response, Problem> {
    show(&page, workspace, Fields::default(), Vec::new()).await
}

#[derive(Deserialize)]
struct SetForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    tier: String,
    /// Absent when the page sealed it.
    #[serde(default)]
    value: String,
    #[serde(default)]
    description: String,
    /// What the page's script puts in the place of the value, as in the API.
    #[serde(default)]
    root: String,
    #[serde(default)]
    enc: String,
    #[serde(default)]
    ciphertext: String,
}

impl SetForm {
    fn value(&mut self) -> Result<Value, Problem> {
        if self.enc.is_empty() {
            let value = std::mem::take(&mut self.value);
            return Ok(Value::Plain(SecretString::from(value)));
        }
        let root = self.root.parse().unwrap_or_default();
        Value::sealed(root, &self.enc, &self.ciphertext)
            .map_err(|message| Problem::new(Code::Unprocessable, message))
    }
}

async fn set(
    Path(workspace): Path<WorkspaceId>,
    PageForm { page, mut form }: PageForm<SetForm>,
) -> Result<Response, Problem> {
    let value = form.value();
    let made = match (form.tier.as_str(), value) {
        ("visible" | "masked" | "sensitive", Ok(value)) => {
            let new = NewSecret {
                name: form.name.trim().to_owned(),
                tier: Tier::stored(&form.tier),
                value,
                description: Some(form.description.clone()),
                expires_at_ms: None,
                expand: None,
                references: None,
                delivered_as: None,
            };
            set::set(&page.ctx, workspace, Scope::Workspace, new).await
        }
        (_, Err(problem)) => Err(problem),
        (other, _) => Err(Problem::new(
            Code::Unprocessable,
            format!("tier: {other:?} is not a tier. Choose one of the three."),
        )),
    };
    match made {
        Ok(_) => Ok(Redirect::to(&format!("/workspaces/{workspace}/secrets")).into_response()),
        Err(problem)
            if matches!(
                problem.code,
                Code::Unprocessable | Code::Conflict | Code::TooLarge
            ) =>
        {
            let errors = vec![FieldError::of(
                &problem,
                &["name", "value", "tier", "description"],
                "",
            )];
            let fields = Fields {
                name: form.name,
                tier: form.tier,
                description: form.description,
            };
            let mut response = show(&page, workspace, fields, errors).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn delete(
    Path((workspace, name)): Path<(WorkspaceId, String)>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    ops::delete(&page.ctx, workspace, Scope::Workspace, &name).await?;
    Ok(Redirect::to(&format!("/workspaces/{workspace}/secrets")).into_response())
}
