//! The pages of signing in, and the routes of all pages of this feature.

use askama::Template;
use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::setup::{self, Owner, SetupError};
use super::{account_pages, invitation_pages, sign_in};
use crate::context::Services;
use crate::features::audit::Stranger;
use crate::features::members;
use crate::kernel::{Code, Problem, SecretString};
use crate::web::{
    Anonymous, AnonymousForm, Chrome, FieldError, PageCtx, PageForm, PendingForm,
    PendingSecondFactor, Query, clear_session_cookie, html, session_cookie,
};

/// The routes of these pages.
pub fn pages() -> Router<Services> {
    Router::new()
        .route("/", get(home))
        .route("/setup", get(setup_page).post(setup_form))
        .route("/sign-in", get(sign_in_page).post(sign_in_form))
        .route("/sign-in/second-factor", get(code_page).post(code_form))
        .route("/sign-out", post(sign_out))
        .route(
            "/invitations/{token}",
            get(invitation_pages::show).post(invitation_pages::join),
        )
        .route(
            "/invitations/{token}/accept",
            post(invitation_pages::accept),
        )
        .route("/account", get(account_pages::account_page))
        .route(
            "/account/second-factor",
            get(account_pages::enrol_page).post(account_pages::enrol_form),
        )
        .route(
            "/account/second-factor/disable",
            post(account_pages::disable_second_factor),
        )
        .route("/account/password", post(account_pages::change_password))
        .route(
            "/account/reauthenticate",
            get(account_pages::again_page).post(account_pages::again_form),
        )
        .route(
            "/account/sessions/{session}/end",
            post(account_pages::end_session),
        )
}

/// Only paths of this site: `//elsewhere` and `/\elsewhere` lead away.
pub(super) fn local(next: &str) -> &str {
    let inside = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\");
    if inside && !next.chars().any(char::is_control) {
        next
    } else {
        "/"
    }
}

pub(super) fn with_cookie(value: &str, to: &str) -> Result<Response, Problem> {
    let mut response = Redirect::to(to).into_response();
    let cookie = session_cookie(value)
        .ok_or_else(|| Problem::internal("the cookie's value is not a header"))?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

#[derive(Deserialize, Default)]
pub(super) struct Next {
    #[serde(default)]
    pub(super) next: String,
}

async fn home(page: PageCtx) -> Result<Response, Problem> {
    let mine = members::memberships(&page.ctx.services, page.ctx.actor.user()).await?;
    match mine.first() {
        Some(workspace) => {
            Ok(Redirect::to(&format!("/workspaces/{}/projects", workspace.id)).into_response())
        }
        None => Ok(Redirect::to("/account").into_response()),
    }
}

#[derive(Deserialize)]
struct CodeQuery {
    #[serde(default)]
    code: String,
}

#[derive(Default)]
struct SetupFields {
    name: String,
    email: String,
    organization: String,
    workspace: String,
}

#[derive(Template)]
#[template(path = "identity/setup.html")]
struct SetupPage {
    chrome: Chrome,
    code: String,
    form: SetupFields,
    errors: Vec<FieldError>,
}

async fn setup_page(from: Anonymous, Query(query): Query<CodeQuery>) -> Result<Response, Problem> {
    setup::check_code(&from.services, &query.code).await?;
    html(&SetupPage {
        chrome: Chrome::bare(from.nonce),
        code: query.code,
        form: SetupFields::default(),
        errors: Vec::new(),
    })
}

#[derive(Deserialize)]
struct SetupForm {
    code: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    organization: String,
    #[serde(default)]
    workspace: String,
}

async fn setup_form(
    AnonymousForm { from, form }: AnonymousForm<SetupForm>,
) -> Result<Response, Problem> {
    let fields = SetupFields {
        name: form.name.clone(),
        email: form.email.clone(),
        organization: form.organization.clone(),
        workspace: form.workspace.clone(),
    };
    let owner = Owner {
        name: form.name,
        email: form.email,
        password: SecretString::from(form.password),
        organization: form.organization,
        workspace: form.workspace,
    };
    match setup::complete(
        &from.services,
        &form.code,
        owner,
        Stranger {
            address: &from.address,
            request_id: &from.request_id,
        },
        &from.user_agent,
    )
    .await
    {
        Ok(session) => with_cookie(&session.value, "/account/second-factor?first_run=1"),
        Err(SetupError::Problem(problem)) => Err(problem),
        Err(SetupError::Fields(errors)) => {
            let page = SetupPage {
                chrome: Chrome::bare(from.nonce),
                code: form.code,
                form: fields,
                errors,
            };
            let mut response = html(&page)?;
            *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
    }
}

#[derive(Template)]
#[template(path = "identity/sign_in.html")]
struct SignInPage {
    chrome: Chrome,
    email: String,
    error: Option<String>,
    next: String,
}

async fn sign_in_page(from: Anonymous, Query(query): Query<Next>) -> Result<Response, Problem> {
    let next = local(&query.next).to_owned();
    html(&SignInPage {
        chrome: Chrome::bare(from.nonce),
        email: String::new(),
        error: None,
        next,
    })
}

#[derive(Deserialize)]
struct SignInForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// What a refusal of a form becomes: the form again with a sentence, or the problem itself.
fn form_again(
    problem: Problem,
    page: impl FnOnce(String) -> Result<Response, Problem>,
) -> Result<Response, Problem> {
    if !matches!(
        problem.code,
        Code::Forbidden | Code::RateLimited | Code::Unprocessable
    ) {
        return Err(problem);
    }
    let mut response = page(problem.detail.to_string())?;
    if let Ok(status) = axum::http::StatusCode::from_u16(problem.code.status()) {
        *response.status_mut() = status;
    }
    Ok(response)
}

async fn sign_in_form(
    AnonymousForm { from, form }: AnonymousForm<SignInForm>,
) -> Result<Response, Problem> {
    let next = local(&form.next).to_owned();
    let signed_in =
        sign_in::with_password(&from, &form.email, SecretString::from(form.password)).await;
    sign_in::counted("password", &signed_in);
    match signed_in {
        Ok(signed_in) if signed_in.second_factor_next => {
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            with_cookie(
                &signed_in.session.value,
                &format!("/sign-in/second-factor?next={next}"),
            )
        }
        Ok(signed_in) => with_cookie(&signed_in.session.value, &next),
        Err(problem) => form_again(problem, |error| {
            html(&SignInPage {
                chrome: Chrome::bare(from.nonce),
                email: form.email,
                error: Some(error),
                next,
            })
        }),
    }
}

#[derive(Template)]
#[template(path = "identity/second_factor.html")]
struct CodePage {
    chrome: Chrome,
    error: Option<String>,
    next: String,
}

impl CodePage {
    fn new(pending: &PendingSecondFactor, error: Option<String>, next: &str) -> Self {
        let chrome = Chrome {
            csrf: pending.known.csrf.clone(),
            ..Chrome::bare(pending.nonce.clone())
        };
        Self {
            chrome,
            error,
            next: local(next).to_owned(),
        }
    }
}

async fn code_page(
    pending: PendingSecondFactor,
    Query(query): Query<Next>,
) -> Result<Response, Problem> {
    html(&CodePage::new(&pending, None, &query.next))
}

#[derive(Deserialize)]
struct CodeForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

async fn code_form(
    PendingForm {
        pending,
        from,
        form,
    }: PendingForm<CodeForm>,
) -> Result<Response, Problem> {
    let accepted = sign_in::with_code(&from, &pending.known, &form.code).await;
    sign_in::counted("second_factor", &accepted);
    match accepted {
        Ok(()) => Ok(Redirect::to(local(&form.next)).into_response()),
        Err(problem) => form_again(problem, |error| {
            html(&CodePage::new(&pending, Some(error), &form.next))
        }),
    }
}

#[derive(Deserialize)]
pub(super) struct Nothing {}

async fn sign_out(
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    sign_in::out(&page.ctx).await?;
    let mut response = Redirect::to("/sign-in").into_response();
    response
        .headers_mut()
        .append(header::SET_COOKIE, clear_session_cookie());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn redirects_stay_on_this_site() {
        assert_eq!(local("/workspaces/x?y=1"), "/workspaces/x?y=1");
        for outside in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "",
            "javascript:1",
            "/\n/evil",
        ] {
            assert_eq!(local(outside), "/", "{outside:?}");
        }
    }
}
