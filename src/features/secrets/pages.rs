//! The page of secrets: the list of a scope, and the form that adds one.

use askama::Template;
use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};

use super::api::InScope;
use super::model::SecretItem;
use super::pages_parts::{Link, Place, ValueForm, View, mistakes, refused, to, unprocessable};
use super::{ops, overview, pages_delivery, pages_export, pages_import, pages_secret, set};
use crate::context::Services;
use crate::features::members;
use crate::kernel::{Problem, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, Query, html, time};

/// The routes of these pages.
pub fn pages() -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/secrets", get(index).post(add))
        .route(
            "/workspaces/{workspace}/secrets/import",
            get(pages_import::ask).post(pages_import::check),
        )
        .route(
            "/workspaces/{workspace}/secrets/import/confirm",
            post(pages_import::confirm),
        )
        .route(
            "/workspaces/{workspace}/secrets/export",
            get(pages_export::ask).post(pages_export::download),
        )
        .route(
            "/workspaces/{workspace}/secrets/{name}",
            get(pages_secret::index).post(pages_secret::set_value),
        )
        .route(
            "/workspaces/{workspace}/secrets/{name}/change",
            post(pages_secret::change),
        )
        .route(
            "/workspaces/{workspace}/secrets/{name}/rollback",
            post(pages_secret::roll_back),
        )
        .route(
            "/workspaces/{workspace}/secrets/{name}/delete",
            post(pages_secret::delete),
        )
}

struct Row {
    name: String,
    href: String,
    reveal: String,
    tier: &'static str,
    description: String,
    version: i64,
    value: Option<String>,
    updated: String,
    updated_by: String,
    expired: bool,
    expires_soon: bool,
    notes: Vec<Link>,
}

/// A secret whose value is good no more, or not for long.
struct Ending {
    name: String,
    href: String,
    when: String,
    expired: bool,
}

#[derive(Default)]
struct Fields {
    name: String,
    tier: String,
    description: String,
    expires: String,
    expand: bool,
    delivered_as: String,
}

#[derive(Template)]
#[template(path = "secrets/index.html")]
struct Index {
    chrome: Chrome,
    view: View,
    secrets: Vec<Row>,
    ending: Vec<Ending>,
    form: Fields,
    errors: Vec<FieldError>,
    containers: pages_delivery::Section,
}

async fn show(
    page: &PageCtx,
    place: Place,
    form: Fields,
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let (view, chrome) = View::open(page, place).await?;
    let items = ops::list(&page.ctx, place.workspace, place.scope)
        .await?
        .items;
    let names =
        members::names(&page.ctx.services, items.iter().map(|item| item.updated_by)).await?;
    let ending = items
        .iter()
        .filter(|item| item.expired || item.expires_soon);
    let ending = ending.map(|item| Ending {
        name: item.name.clone(),
        href: place.at(&item.name),
        when: item.expires_at_ms.map(time::day).unwrap_or_default(),
        expired: item.expired,
    });
    let ending = ending.collect();
    let row = |item: SecretItem| Row {
        href: place.at(&item.name),
        reveal: place.api(&format!("{}/reveal", item.name)),
        notes: view.notes(&item.name),
        name: item.name,
        tier: item.tier.as_str(),
        description: item.description,
        version: item.version,
        value: item.value,
        updated: time::minute(item.updated_at_ms),
        updated_by: names.get(&item.updated_by).cloned().unwrap_or_default(),
        expired: item.expired,
        expires_soon: item.expires_soon,
    };
    html(&Index {
        chrome,
        secrets: items.into_iter().map(row).collect(),
        ending,
        view,
        form,
        errors,
        containers: pages_delivery::section(&page.ctx, place.workspace).await?,
    })
}

async fn index(
    page: PageCtx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    show(&page, place, Fields::default(), Vec::new()).await
}

async fn add(
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
    PageForm { page, mut form }: PageForm<ValueForm>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    let Err(problem) = try_add(&page, place, &mut form).await else {
        return Ok(to(&place.list()));
    };
    let errors = mistakes(problem)?;
    let fields = Fields {
        name: form.name,
        tier: form.tier,
        description: form.description.unwrap_or_default(),
        expires: form.expires,
        expand: form.expand.is_some(),
        delivered_as: form.delivered_as,
    };
    Ok(refused(show(&page, place, fields, errors).await?))
}

async fn try_add(page: &PageCtx, place: Place, form: &mut ValueForm) -> Result<(), Problem> {
    let (workspace, scope) = (place.workspace, place.scope);
    set::may_set(&page.ctx, workspace, scope).await?;
    let name = form.name.trim().to_owned();
    // Who adds does not mean to replace.
    if overview::is_there(&page.ctx, workspace, scope, &name).await? {
        return Err(unprocessable(format!(
            "name: There is a secret {name} here already. Change its value on its own page."
        )));
    }
    let new = form.take(name, page.ctx.now_ms())?;
    set::set(&page.ctx, workspace, scope, new).await.map(|_| ())
}
