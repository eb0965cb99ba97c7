//! The pages of signing in and of one's own account.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::limiter::Limiter;
use super::sessions::{self, SessionRow};
use super::setup::{self, Owner, SetupError};
use super::{second_factor, sign_in};
use crate::context::Services;
use crate::features::members;
use crate::kernel::{Code, Problem, SecretString, SessionId};
use crate::web::{
    Anonymous, AnonymousForm, Chrome, FieldError, PageCtx, PageForm, Path, PendingForm, PendingSecondFactor, Query,
    clear_session_cookie, html, session_cookie,
};

/// The routes of these pages.
pub fn pages() -> Router<Services> {
    Router::new()
        .route("/", get(home))
        .route("/setup", get(setup_page).post(setup_form))
        .route("/sign-in", get(sign_in_page).post(sign_in_form))
        .route("/sign-in/second-factor", get(code_page).post(code_form))
        .route("/sign-out", post(sign_out))
        .route("/account", get(account_page))
        .route("/account/second-factor", get(enrol_page).post(enrol_form))
        .route("/account/reauthenticate", get(again_page).post(again_form))
        .route("/account/sessions/{session}/end", post(end_session))
        .layer(Extension(Arc::new(Limiter::default())))
}

/// Only paths of this site: `//elsewhere` and `/\elsewhere` lead away.
fn local(next: &str) -> &str {
    let inside = next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\");
    if inside && !next.chars().any(char::is_control) { next } else { "/" }
}

fn with_cookie(value: &str, to: &str) -> Result<Response, Problem> {
    let mut response = Redirect::to(to).into_response();
    let cookie = session_cookie(value).ok_or_else(|| Problem::internal("the cookie's value is not a header"))?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

#[derive(Deserialize, Default)]
struct Next {
    #[serde(default)]
    next: String,
}

async fn home(page: PageCtx) -> Result<Response, Problem> {
    let mine = members::memberships(&page.ctx.services, page.ctx.actor.user).await?;
    match mine.first() {
        Some(workspace) => Ok(Redirect::to(&format!("/workspaces/{}/projects", workspace.id)).into_response()),
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

async fn setup_form(AnonymousForm { from, form }: AnonymousForm<SetupForm>) -> Result<Response, Problem> {
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
    match setup::complete(&from.services, &form.code, owner, &from.address, &from.user_agent).await {
        Ok(session) => with_cookie(&session.value, "/account/second-factor?first_run=1"),
        Err(SetupError::Problem(problem)) => Err(problem),
        Err(SetupError::Fields(errors)) => {
            let page = SetupPage { chrome: Chrome::bare(from.nonce), code: form.code, form: fields, errors };
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
    html(&SignInPage { chrome: Chrome::bare(from.nonce), email: String::new(), error: None, next })
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
fn form_again(problem: Problem, page: impl FnOnce(String) -> Result<Response, Problem>) -> Result<Response, Problem> {
    if !matches!(problem.code, Code::Forbidden | Code::RateLimited | Code::Unprocessable) {
        return Err(problem);
    }
    let mut response = page(problem.detail.to_string())?;
    if let Ok(status) = axum::http::StatusCode::from_u16(problem.code.status()) {
        *response.status_mut() = status;
    }
    Ok(response)
}

async fn sign_in_form(
    Extension(limiter): Extension<Arc<Limiter>>,
    AnonymousForm { from, form }: AnonymousForm<SignInForm>,
) -> Result<Response, Problem> {
    let next = local(&form.next).to_owned();
    match sign_in::with_password(&from, &limiter, &form.email, SecretString::from(form.password)).await {
        Ok(signed_in) if signed_in.second_factor_next => {
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            with_cookie(&signed_in.session.value, &format!("/sign-in/second-factor?next={next}"))
        }
        Ok(signed_in) => with_cookie(&signed_in.session.value, &next),
        Err(problem) => form_again(problem, |error| {
            html(&SignInPage { chrome: Chrome::bare(from.nonce), email: form.email, error: Some(error), next })
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
        let chrome = Chrome { csrf: pending.known.csrf.clone(), ..Chrome::bare(pending.nonce.clone()) };
        Self { chrome, error, next: local(next).to_owned() }
    }
}

async fn code_page(pending: PendingSecondFactor, Query(query): Query<Next>) -> Result<Response, Problem> {
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
    Extension(limiter): Extension<Arc<Limiter>>,
    PendingForm { pending, from, form }: PendingForm<CodeForm>,
) -> Result<Response, Problem> {
    match sign_in::with_code(&from, &limiter, &pending.known, &form.code).await {
        Ok(()) => Ok(Redirect::to(local(&form.next)).into_response()),
        Err(problem) => form_again(problem, |error| html(&CodePage::new(&pending, Some(error), &form.next))),
    }
}

#[derive(Deserialize)]
struct Nothing {}

async fn sign_out(PageForm { page, form: Nothing {} }: PageForm<Nothing>) -> Result<Response, Problem> {
    sign_in::out(&page.ctx).await?;
    let mut response = Redirect::to("/sign-in").into_response();
    response.headers_mut().append(header::SET_COOKIE, clear_session_cookie());
    Ok(response)
}

struct AccountUser {
    name: String,
    email: String,
    second_factor: bool,
}

#[derive(Template)]
#[template(path = "identity/account.html")]
struct AccountPage {
    chrome: Chrome,
    user: AccountUser,
    sessions: Vec<SessionRow>,
}

async fn account_page(page: PageCtx) -> Result<Response, Problem> {
    let user = AccountUser {
        name: page.ctx.actor.name.clone(),
        email: page.ctx.actor.email.clone(),
        second_factor: sign_in::has_second_factor(&page.ctx).await?,
    };
    let sessions = sessions::list(&page.ctx).await?;
    html(&AccountPage { chrome: Chrome::of(&page, first_workspace(&page).await?, "account"), user, sessions })
}

/// Pages of the account have no workspace of their own: the navigation keeps to the first.
async fn first_workspace(page: &PageCtx) -> Result<Option<crate::web::WorkspaceChip>, Problem> {
    let mine = members::memberships(&page.ctx.services, page.ctx.actor.user).await?;
    match mine.first() {
        Some(first) => Ok(Some(members::workspace_chip(&page.ctx, first.id).await?)),
        None => Ok(None),
    }
}

#[derive(Template)]
#[template(path = "identity/second_factor_setup.html")]
struct EnrolPage {
    chrome: Chrome,
    qr_data_uri: String,
    secret_text: String,
    sealed: String,
    error: Option<String>,
    first_run: bool,
}

#[derive(Deserialize)]
struct EnrolQuery {
    first_run: Option<String>,
}

async fn show_enrolment(page: &PageCtx, error: Option<String>, first_run: bool) -> Result<Response, Problem> {
    let enrolment = second_factor::begin(&page.ctx).await?;
    let workspace = if first_run { None } else { first_workspace(page).await? };
    let mut chrome = Chrome::of(page, workspace, "account");
    if first_run {
        chrome.user = None;
    }
    html(&EnrolPage {
        chrome,
        qr_data_uri: enrolment.qr_data_uri,
        secret_text: enrolment.secret_text,
        sealed: enrolment.sealed,
        error,
        first_run,
    })
}

fn to_reauthenticate(next: &str) -> Response {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    Redirect::to(&format!("/account/reauthenticate?next={next}")).into_response()
}

async fn enrol_page(page: PageCtx, Query(query): Query<EnrolQuery>) -> Result<Response, Problem> {
    match show_enrolment(&page, None, query.first_run.is_some()).await {
        Err(problem) if problem.code == Code::ReauthenticationRequired => Ok(to_reauthenticate("/account/second-factor")),
        other => other,
    }
}

#[derive(Deserialize)]
struct EnrolForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    sealed: String,
    #[serde(default)]
    first_run: String,
}

async fn enrol_form(PageForm { page, form }: PageForm<EnrolForm>) -> Result<Response, Problem> {
    let first_run = form.first_run == "true";
    match second_factor::enrol(&page.ctx, &form.sealed, &form.code).await {
        Ok(()) => Ok(Redirect::to(if first_run { "/" } else { "/account" }).into_response()),
        Err(problem) if problem.code == Code::ReauthenticationRequired => Ok(to_reauthenticate("/account/second-factor")),
        Err(problem) if problem.code == Code::Forbidden => {
            show_enrolment(&page, Some(problem.detail.to_string()), first_run).await
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Template)]
#[template(path = "identity/reauthenticate.html")]
struct AgainPage {
    chrome: Chrome,
    error: Option<String>,
    next: String,
    needs_code: bool,
}

async fn show_again(page: &PageCtx, error: Option<String>, next: &str) -> Result<Response, Problem> {
    let needs_code = sign_in::has_second_factor(&page.ctx).await?;
    let chrome = Chrome::of(page, first_workspace(page).await?, "account");
    html(&AgainPage { chrome, error, next: local(next).to_owned(), needs_code })
}

async fn again_page(page: PageCtx, Query(query): Query<Next>) -> Result<Response, Problem> {
    show_again(&page, None, &query.next).await
}

#[derive(Deserialize)]
struct AgainForm {
    #[serde(default)]
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

async fn again_form(
    Extension(limiter): Extension<Arc<Limiter>>,
    PageForm { page, form }: PageForm<AgainForm>,
) -> Result<Response, Problem> {
    match sign_in::again(&page.ctx, &limiter, SecretString::from(form.password), &form.code).await {
        Ok(()) => Ok(Redirect::to(local(&form.next)).into_response()),
        Err(problem) if matches!(problem.code, Code::Forbidden | Code::RateLimited) => {
            show_again(&page, Some(problem.detail.to_string()), &form.next).await
        }
        Err(problem) => Err(problem),
    }
}

async fn end_session(
    State(services): State<Services>,
    Path(session): Path<SessionId>,
    PageForm { page, form: Nothing {} }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    sessions::end(&services, page.ctx.actor.user, session).await?;
    Ok(Redirect::to("/account").into_response())
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn redirects_stay_on_this_site() {
        assert_eq!(local("/workspaces/x?y=1"), "/workspaces/x?y=1");
        for outside in ["https://evil.example", "//evil.example", "/\\evil.example", "", "javascript:1", "/\n/evil"] {
            assert_eq!(local(outside), "/", "{outside:?}");
        }
    }
}
