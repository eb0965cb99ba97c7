//! The pages of one's own account: sessions, the second factor, confirming that one is still there.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::pages::{Next, Nothing, local};
use super::sessions::{self, SessionRow};
use super::{change_password as passwords, second_factor, sign_in};
use crate::features::members;
use crate::kernel::{Code, Problem, SecretString, SessionId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, Query, html};

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
    password_changed: bool,
    errors: Vec<FieldError>,
}

#[derive(Deserialize)]
pub(super) struct Done {
    #[serde(default)]
    done: String,
}

/// `GET /account`
pub(super) async fn account_page(
    page: PageCtx,
    Query(query): Query<Done>,
) -> Result<Response, Problem> {
    show_account(&page, query.done == "password", Vec::new()).await
}

async fn show_account(
    page: &PageCtx,
    password_changed: bool,
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let user = AccountUser {
        name: page.ctx.actor.name().to_owned(),
        email: page.ctx.actor.email().to_owned(),
        second_factor: sign_in::has_second_factor(&page.ctx).await?,
    };
    let sessions = sessions::list(&page.ctx).await?;
    html(&AccountPage {
        chrome: Chrome::of(page, first_workspace(page).await?, "account"),
        user,
        sessions,
        password_changed,
        errors,
    })
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    #[serde(default)]
    current: String,
    #[serde(default)]
    password: String,
}

/// `POST /account/password`
pub(super) async fn change_password(
    PageForm { page, form }: PageForm<PasswordForm>,
) -> Result<Response, Problem> {
    let (current, new) = (form.current.into(), form.password.into());
    match passwords::change(&page.ctx, current, new).await {
        Ok(()) => Ok(Redirect::to("/account?done=password").into_response()),
        Err(problem) if matches!(problem.code, Code::Unprocessable | Code::RateLimited) => {
            let errors = vec![FieldError::of(
                &problem,
                &["current", "password"],
                "current",
            )];
            let mut response = show_account(&page, false, errors).await?;
            if let Ok(status) = axum::http::StatusCode::from_u16(problem.code.status()) {
                *response.status_mut() = status;
            }
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /account/second-factor/disable`
pub(super) async fn disable_second_factor(
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    match second_factor::disable(&page.ctx).await {
        Ok(()) => Ok(Redirect::to("/account").into_response()),
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            Ok(to_reauthenticate("/account"))
        }
        Err(problem) => Err(problem),
    }
}

/// Pages of the account have no workspace of their own: the navigation keeps to the first.
async fn first_workspace(page: &PageCtx) -> Result<Option<crate::web::WorkspaceChip>, Problem> {
    let mine = members::memberships(&page.ctx.services, page.ctx.actor.user()).await?;
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
pub(super) struct EnrolQuery {
    first_run: Option<String>,
}

async fn show_enrolment(
    page: &PageCtx,
    error: Option<String>,
    first_run: bool,
) -> Result<Response, Problem> {
    let enrolment = second_factor::begin(&page.ctx).await?;
    let workspace = if first_run {
        None
    } else {
        first_workspace(page).await?
    };
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

/// `GET /account/second-factor`
pub(super) async fn enrol_page(
    page: PageCtx,
    Query(query): Query<EnrolQuery>,
) -> Result<Response, Problem> {
    match show_enrolment(&page, None, query.first_run.is_some()).await {
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            Ok(to_reauthenticate("/account/second-factor"))
        }
        other => other,
    }
}

#[derive(Deserialize)]
pub(super) struct EnrolForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    sealed: String,
    #[serde(default)]
    first_run: String,
}

/// `POST /account/second-factor`
pub(super) async fn enrol_form(
    PageForm { page, form }: PageForm<EnrolForm>,
) -> Result<Response, Problem> {
    let first_run = form.first_run == "true";
    match second_factor::enrol(&page.ctx, &form.sealed, &form.code).await {
        Ok(()) => Ok(Redirect::to(if first_run { "/" } else { "/account" }).into_response()),
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            Ok(to_reauthenticate("/account/second-factor"))
        }
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

async fn show_again(
    page: &PageCtx,
    error: Option<String>,
    next: &str,
) -> Result<Response, Problem> {
    let needs_code = sign_in::has_second_factor(&page.ctx).await?;
    let chrome = Chrome::of(page, first_workspace(page).await?, "account");
    html(&AgainPage {
        chrome,
        error,
        next: local(next).to_owned(),
        needs_code,
    })
}

/// `GET /account/reauthenticate`
pub(super) async fn again_page(
    page: PageCtx,
    Query(query): Query<Next>,
) -> Result<Response, Problem> {
    show_again(&page, None, &query.next).await
}

#[derive(Deserialize)]
pub(super) struct AgainForm {
    #[serde(default)]
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

/// `POST /account/reauthenticate`
pub(super) async fn again_form(
    PageForm { page, form }: PageForm<AgainForm>,
) -> Result<Response, Problem> {
    let confirmed = sign_in::again(&page.ctx, SecretString::from(form.password), &form.code).await;
    sign_in::counted("again", &confirmed);
    match confirmed {
        Ok(()) => Ok(Redirect::to(local(&form.next)).into_response()),
        Err(problem) if matches!(problem.code, Code::Forbidden | Code::RateLimited) => {
            show_again(&page, Some(problem.detail.to_string()), &form.next).await
        }
        Err(problem) => Err(problem),
    }
}

/// `POST /account/sessions/{session}/end`
pub(super) async fn end_session(
    Path(session): Path<SessionId>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    sessions::end(&page.ctx, session).await?;
    Ok(Redirect::to("/account").into_response())
}
