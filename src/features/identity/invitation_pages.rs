//! The page behind an invitation's link: who is new makes an account, who is signed in under the address joins.
//!
//! The page is the same whether or not the address has an account: whoever invites sees the link too, and must not learn
//! of any address whether it is known here.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::pages::with_cookie;
use super::password;
use super::sessions::{NewSession, Stage};
use crate::authz::accounts::account;
use crate::features::audit::{self, Action, Stranger};
use crate::features::members::invitations::{self, Shown};
use crate::features::members::{name_complaint, normal_email};
use crate::kernel::{Code, Problem, SecretString, UserId};
use crate::store::{StoreError, SystemPurpose};
use crate::web::{Anonymous, AnonymousForm, Chrome, FieldError, PageCtx, PageForm, Path, html};

#[derive(Template)]
#[template(path = "identity/invitation.html")]
struct InvitationPage {
    chrome: Chrome,
    token: String,
    shown: Card,
    /// The address of whoever is signed in.
    signed_in: Option<String>,
    same_address: bool,
    name: String,
    errors: Vec<FieldError>,
}

/// What the page tells of an invitation.
struct Card {
    email: String,
    role: &'static str,
    workspace: String,
    organization: String,
}

impl From<&Shown> for Card {
    fn from(shown: &Shown) -> Self {
        Self {
            email: shown.email.clone(),
            role: shown.role.as_str(),
            workspace: shown.workspace.clone(),
            organization: shown.organization.clone(),
        }
    }
}

/// `GET /invitations/{token}`
pub(super) async fn show(
    from: Anonymous,
    page: Result<PageCtx, Response>,
    Path(token): Path<String>,
) -> Result<Response, Problem> {
    let shown = invitations::by_link(&from.services, &token).await?;
    let (mut chrome, mut signed_in) = (Chrome::bare(from.nonce), None);
    if let Ok(page) = page {
        chrome.csrf.clone_from(&page.csrf);
        signed_in = Some(page.ctx.actor.email().to_owned());
    }
    html(&InvitationPage {
        chrome,
        token,
        same_address: signed_in.as_deref().map(normal_email).as_ref() == Some(&shown.email),
        shown: Card::from(&shown),
        signed_in,
        name: String::new(),
        errors: Vec::new(),
    })
}

#[derive(Deserialize)]
pub(super) struct NewPerson {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
}

/// `POST /invitations/{token}`: makes the account, joins, and signs in.
pub(super) async fn join(
    Path(token): Path<String>,
    AnonymousForm { from, form }: AnonymousForm<NewPerson>,
) -> Result<Response, Problem> {
    let shown = invitations::by_link(&from.services, &token).await?;
    let secret = SecretString::from(form.password);
    let mut errors = Vec::new();
    if let Some(message) = name_complaint(&form.name) {
        errors.push(FieldError {
            field: "name".to_owned(),
            message,
        });
    }
    if let Some(message) = password::complaint(&secret, &shown.email) {
        errors.push(FieldError {
            field: "password".to_owned(),
            message,
        });
    }
    if !errors.is_empty() {
        let page = InvitationPage {
            chrome: Chrome::bare(from.nonce),
            token,
            shown: Card::from(&shown),
            signed_in: None,
            same_address: false,
            name: form.name,
            errors,
        };
        let mut response = html(&page)?;
        *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(response);
    }
    let services = &from.services;
    let password_hash = password::hash(secret, services.rng).await?;
    let session = NewSession::prepare(services).await?;
    let user = UserId::new(&services.clock, &services.rng);
    let now = services.clock.now_ms();
    let person =
        account::ActiveModel::person(user, shown.email.clone(), &form.name, password_hash, now);
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    tx.insert(person).await.map_err(|error| match error {
        StoreError::Duplicate => sign_in_instead(&shown.email),
        other => other.into(),
    })?;
    session
        .open(
            &tx,
            user,
            Stage::Active,
            now,
            &from.address,
            &from.user_agent,
        )
        .await?;
    let stranger = Stranger {
        address: &from.address,
        request_id: &from.request_id,
    };
    let entry = |action, object: String| {
        audit::by_stranger(
            services,
            stranger,
            user,
            action,
            object,
            shown.role.as_str(),
        )
    };
    let also = vec![
        audit::by_stranger(services, stranger, user, Action::AccountCreate, user, ""),
        audit::by_stranger(
            services,
            stranger,
            user,
            Action::SessionOpen,
            session.id,
            "invitation",
        ),
    ];
    invitations::redeem(services, tx, &shown, user, entry, also).await?;
    with_cookie(
        &session.value,
        &format!("/workspaces/{}/projects", shown.workspace_id),
    )
}

fn sign_in_instead(email: &str) -> Problem {
    Problem::new(
        Code::Conflict,
        format!(
            "There is an account with the address {email} already. Sign in to it, then open the link of the invitation \
             again."
        ),
    )
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

/// `POST /invitations/{token}/accept`: joins with the account that is signed in.
pub(super) async fn accept(
    Path(token): Path<String>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    let workspace = invitations::accept(&page.ctx, &token).await?;
    Ok(Redirect::to(&format!("/workspaces/{workspace}/projects")).into_response())
}
