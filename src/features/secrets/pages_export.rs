//! The page that gives a scope's secrets as a `.env` file.

use askama::Template;
use axum::response::Response;
use serde::Deserialize;

use super::api::InScope;
use super::api_life::attachment;
use super::env_file;
use super::model::Tier;
use super::ops;
use super::pages_parts::{Place, View, to};
use crate::kernel::{Code, Problem, WorkspaceId};
use crate::web::{Chrome, PageCtx, PageForm, Path, Query, html};

#[derive(Template)]
#[template(path = "secrets/export.html")]
struct Page {
    chrome: Chrome,
    view: View,
    parts: Vec<Part>,
    any_masked: bool,
}

/// The secrets of a tier.
struct Part {
    tier: &'static str,
    names: Vec<String>,
}

/// `GET /workspaces/{workspace}/secrets/export`
pub async fn ask(
    page: PageCtx,
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    let (view, chrome) = View::open(&page, place).await?;
    let items = ops::list(&page.ctx, workspace, place.scope).await?.items;
    let part = |tier: Tier| {
        let of_tier = items.iter().filter(|item| item.tier == tier);
        Part {
            tier: tier.as_str(),
            names: of_tier.map(|item| item.name.clone()).collect(),
        }
    };
    html(&Page {
        chrome,
        view,
        parts: [Tier::Visible, Tier::Masked, Tier::Sensitive]
            .map(part)
            .into(),
        any_masked: items.iter().any(|item| item.tier == Tier::Masked),
    })
}

#[derive(Deserialize)]
pub struct ExportForm {
    /// `masked` when masked ones are to be in it, too.
    #[serde(default)]
    with: String,
}

/// `POST /workspaces/{workspace}/secrets/export`
pub async fn download(
    Path(workspace): Path<WorkspaceId>,
    Query(asked): Query<InScope>,
    PageForm { page, form }: PageForm<ExportForm>,
) -> Result<Response, Problem> {
    let place = Place::asked(workspace, &asked)?;
    let masked = form.with == "masked";
    match env_file::export(&page.ctx, workspace, place.scope, masked).await {
        Ok(file) => Ok(attachment(file)),
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            let back = place.at("export");
            let next: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
            Ok(to(&format!("/account/reauthenticate?next={next}")))
        }
        Err(problem) => Err(problem),
    }
}
