//! The page of one secret: what it is, its versions, and what can be done with it.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use super::api::InScope;
use super::model::{SecretItem, Tier, VersionItem};
use super::pages_parts::{
    Link, Place, ValueForm, View, delivered_as, expiry, mistakes, refused, tier, to, unprocessable,
};
use super::versions::{self, Change};
use super::{ops, overview, set};
use crate::features::members;
use crate::kernel::{Problem, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, Query, html, time};

/// A secret as its page shows it.
struct Shown {
    name: String,
    tier: &'static str,
    value: Option<String>,
    reveal: String,
    description: String,
    version: i64,
    expand: bool,
    references: Vec<Link>,
    expires: Option<String>,
    expired: bool,
    expires_soon: bool,
    delivered_as: &'static str,
    delivered: Option<String>,
    updated: String,
    updated_by: String,
    notes: Vec<Link>,
    stricter: Vec<&'static str>,
}

struct Version {
    number: i64,
    tier: &'static str,
    /// That of the new version, were this one rolled back to.
    becomes: &'static str,
    current: bool,
    by: String,
    at: String,
}

/// What stands in the forms.
#[derive(Default)]
struct Draft {
    /// For the new value.
    tier: String,
    new_expires: String,
    description: String,
    expires: String,
    references: String,
}

#[derive(Template)]
#[template(path = "secrets/secret.html")]
struct Page {
    chrome: Chrome,
    view: View,
    secret: Shown,
    versions: Vec<Version>,
    draft: Draft,
    errors: Vec<FieldError>,
}

/// The address of a secret.
type Named = Path<(WorkspaceId, String)>;

/// `GET /workspaces/{workspace}/secrets/{name}`
pub async fn index(
    page: PageCtx,
    Path((workspace, name)): Named,
    Query(asked): Query<InScope>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    show(&page, place, &name, None, Vec::new()).await
}

async fn show(
    page: &PageCtx,
    place: Place,
    name: &str,
    draft: Option<Draft>,
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let (workspace, scope) = (place.workspace, place.scope);
    let (view, chrome) = View::open(page, place).await?;
    let item = overview::read(&page.ctx, workspace, scope, name).await?;
    let versions = versions::list(&page.ctx, workspace, scope, name)
        .await?
        .items;
    let setters = versions.iter().map(|version| version.created_by);
    let setters = setters.chain([item.updated_by]);
    let names = members::names(&page.ctx.services, setters).await?;
    let who = |user| names.get(&user).cloned().unwrap_or_default();
    let version = |version: VersionItem| Version {
        number: version.version,
        tier: version.tier.as_str(),
        becomes: version.tier.max(item.tier).as_str(),
        current: version.current,
        by: who(version.created_by),
        at: time::minute(version.created_at_ms),
    };
    let versions = versions.into_iter().map(version).collect();
    let draft = draft.unwrap_or_else(|| Draft::of(&item));
    let updated_by = who(item.updated_by);
    html(&Page {
        chrome,
        secret: shown(&view, item, updated_by),
        view,
        versions,
        draft,
        errors,
    })
}

fn shown(view: &View, item: SecretItem, updated_by: String) -> Shown {
    let place = view.place;
    let reference = |name: &String| Link {
        text: name.clone(),
        href: place.at(name),
        current: false,
    };
    let stricter = [Tier::Masked, Tier::Sensitive];
    let stricter = stricter.into_iter().filter(|tier| *tier > item.tier);
    Shown {
        reveal: place.api(&format!("{}/reveal", item.name)),
        notes: view.notes(&item.name),
        tier: item.tier.as_str(),
        value: item.value,
        description: item.description,
        version: item.version,
        expand: item.expand,
        references: item.references.iter().map(reference).collect(),
        expires: item.expires_at_ms.map(time::minute),
        expired: item.expired,
        expires_soon: item.expires_soon,
        delivered_as: item.delivered_as.as_str(),
        delivered: item.last_delivered_at_ms.map(time::minute),
        updated: time::minute(item.updated_at_ms),
        updated_by,
        stricter: stricter.map(Tier::as_str).collect(),
        name: item.name,
    }
}

impl Draft {
    /// As it is.
    fn of(item: &SecretItem) -> Self {
        Self {
            tier: item.tier.as_str().to_owned(),
            new_expires: String::new(),
            description: item.description.clone(),
            expires: item.expires_at_ms.map(time::day).unwrap_or_default(),
            references: item.references.join(" "),
        }
    }
}

/// The page again, with what is wrong; `draft` puts what was typed into its form.
async fn again(
    page: &PageCtx,
    place: Place,
    name: &str,
    problem: Problem,
    draft: impl FnOnce(&mut Draft),
) -> Result<Response, Problem> {
    let errors = mistakes(problem)?;
    let item = overview::read(&page.ctx, place.workspace, place.scope, name).await?;
    let mut typed = Draft::of(&item);
    draft(&mut typed);
    Ok(refused(show(page, place, name, Some(typed), errors).await?))
}

/// `POST /workspaces/{workspace}/secrets/{name}`
pub async fn set_value(
    Path((workspace, name)): Named,
    Query(asked): Query<InScope>,
    PageForm { page, mut form }: PageForm<ValueForm>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    let scope = place.scope;
    set::may_set(&page.ctx, workspace, scope).await?;
    // This page changes; one that is gone meanwhile is not made again.
    if !overview::is_there(&page.ctx, workspace, scope, &name).await? {
        return Err(Problem::not_found());
    }
    let done = match form.take(name.clone(), page.ctx.now_ms()) {
        Ok(new) => set::set(&page.ctx, workspace, scope, new).await,
        Err(problem) => Err(problem),
    };
    let Err(problem) = done else {
        return Ok(to(&place.at(&name)));
    };
    again(&page, place, &name, problem, |draft| {
        draft.tier = form.tier;
        draft.new_expires = form.expires;
    })
    .await
}

/// Each form of the page sends its own field only.
#[derive(Deserialize)]
pub struct ChangeForm {
    description: Option<String>,
    expires: Option<String>,
    tier: Option<String>,
    /// `true` or `false`.
    expand: Option<String>,
    references: Option<String>,
    delivered_as: Option<String>,
}

impl ChangeForm {
    fn change(&self, now_ms: i64) -> Result<Change, Problem> {
        let references = self.references.as_deref().map(super::model::words);
        let expires_at_ms = match &self.expires {
            Some(day) => Some(expiry(day, now_ms)?),
            None => None,
        };
        Ok(Change {
            tier: self.tier.as_deref().map(tier).transpose()?,
            description: self.description.clone(),
            expires_at_ms,
            expand: self.expand.as_deref().map(|word| word == "true"),
            references,
            delivered_as: delivered_as(self.delivered_as.as_deref().unwrap_or_default())?,
        })
    }
}

/// `POST /workspaces/{workspace}/secrets/{name}/change`
pub async fn change(
    Path((workspace, name)): Named,
    Query(asked): Query<InScope>,
    PageForm { page, form }: PageForm<ChangeForm>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    set::may_set(&page.ctx, workspace, place.scope).await?;
    let done = match form.change(page.ctx.now_ms()) {
        Ok(change) => versions::change(&page.ctx, workspace, place.scope, &name, change).await,
        Err(problem) => Err(problem),
    };
    let Err(problem) = done else {
        return Ok(to(&place.at(&name)));
    };
    again(&page, place, &name, problem, |draft| {
        let typed = [
            (&mut draft.description, form.description),
            (&mut draft.expires, form.expires),
            (&mut draft.references, form.references),
        ];
        for (field, typed) in typed {
            if let Some(typed) = typed {
                *field = typed;
            }
        }
    })
    .await
}

#[derive(Deserialize)]
pub struct RollBackForm {
    #[serde(default)]
    version: String,
}

/// `POST /workspaces/{workspace}/secrets/{name}/rollback`
pub async fn roll_back(
    Path((workspace, name)): Named,
    Query(asked): Query<InScope>,
    PageForm { page, form }: PageForm<RollBackForm>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    set::may_set(&page.ctx, workspace, place.scope).await?;
    let done = match form.version.parse() {
        Ok(number) => versions::roll_back(&page.ctx, workspace, place.scope, &name, number).await,
        Err(_) => Err(unprocessable(format!(
            "version: {:?} is not the number of a version.",
            form.version
        ))),
    };
    let Err(problem) = done else {
        return Ok(to(&place.at(&name)));
    };
    again(&page, place, &name, problem, |_| ()).await
}

#[derive(Deserialize)]
pub struct Nothing {}

/// `POST /workspaces/{workspace}/secrets/{name}/delete`
pub async fn delete(
    Path((workspace, name)): Named,
    Query(asked): Query<InScope>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    let done = ops::delete(&page.ctx, workspace, place.scope, &name).await;
    let Err(problem) = done else {
        return Ok(to(&place.list()));
    };
    again(&page, place, &name, problem, |_| ()).await
}
