//! What every page has around its content, and how a template becomes a response.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::{PageCtx, assets};
use crate::kernel::Problem;

/// What the layout shows around a page.
#[derive(Clone, Default)]
pub struct Chrome {
    /// CSP nonce.
    pub nonce: String,
    /// Token for forms.
    pub csrf: String,
    /// Who is signed in.
    pub user: Option<UserChip>,
    /// The workspace that the page belongs to.
    pub workspace: Option<WorkspaceChip>,
    /// Which entry of the navigation is the current one.
    pub active: &'static str,
}

/// A person in the corner of the page.
#[derive(Clone)]
pub struct UserChip {
    /// Display name.
    pub name: String,
    /// Address.
    pub email: String,
}

/// The workspace in the corner of the page.
#[derive(Clone)]
pub struct WorkspaceChip {
    /// `wsp_…`
    pub id: String,
    /// Display name.
    pub name: String,
    /// The person's role there.
    pub role: String,
}

impl Chrome {
    /// For pages of nobody in particular.
    pub fn bare(nonce: String) -> Self {
        Self {
            nonce,
            ..Self::default()
        }
    }

    /// For pages of a signed-in person.
    pub fn of(page: &PageCtx, workspace: Option<WorkspaceChip>, active: &'static str) -> Self {
        Self {
            nonce: page.nonce.clone(),
            csrf: page.csrf.clone(),
            user: Some(UserChip {
                name: page.ctx.actor.name().to_owned(),
                email: page.ctx.actor.email().to_owned(),
            }),
            workspace,
            active,
        }
    }

    /// The address of a bundled file.
    pub fn asset(&self, name: &str) -> String {
        assets::url(name)
    }
}

/// A template as a page.
pub fn html(template: &impl Template) -> Result<Response, Problem> {
    let text = template.render().map_err(Problem::internal)?;
    Ok(Html(text).into_response())
}

/// The page of a problem.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    chrome: Chrome,
    status: u16,
    title: &'static str,
    detail: String,
    request_id: String,
}

impl ErrorPage {
    /// Renders it; falls back to plain text, which cannot fail.
    pub fn render(chrome: Chrome, problem: &Problem, request_id: &str) -> Response {
        let status = StatusCode::from_u16(problem.code.status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let page = Self {
            chrome,
            status: problem.code.status(),
            title: problem.code.title(),
            detail: problem.detail.to_string(),
            request_id: request_id.to_owned(),
        };
        match html(&page) {
            Ok(mut response) => {
                *response.status_mut() = status;
                response
            }
            Err(_) => (status, problem.detail.to_string()).into_response(),
        }
    }
}
