//! The pages of one's own tokens, and of a workspace's service accounts.

use askama::Template;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use super::model::{Token, TokenRequest};
use super::{ops, service};
use crate::authz::{PermissionId, Role, Scope};
use crate::context::Services;
use crate::features::members;
use crate::kernel::{Code, Problem, TokenId, UserId, WorkspaceId};
use crate::web::{Chrome, FieldError, PageCtx, PageForm, Path, html, time};

/// The routes of these pages.
pub fn pages() -> Router<Services> {
    Router::new()
        .route("/account/tokens", get(index).post(create))
        .route("/account/tokens/{token}/revoke", post(revoke))
        .route(
            "/workspaces/{workspace}/service-accounts",
            get(accounts).post(create_account),
        )
        .route(
            "/workspaces/{workspace}/service-accounts/{user}",
            get(account).post(create_account_token),
        )
        .route(
            "/workspaces/{workspace}/service-accounts/{user}/delete",
            post(delete_account),
        )
        .route(
            "/workspaces/{workspace}/service-accounts/{user}/tokens/{token}/revoke",
            post(revoke_account_token),
        )
}

struct Row {
    id: String,
    name: String,
    scopes: String,
    created: String,
    expires: Option<String>,
    expired: bool,
    last_used: Option<String>,
}

fn rows(tokens: Vec<Token>, now_ms: i64) -> Vec<Row> {
    let row = |token: Token| Row {
        id: token.id.to_string(),
        name: token.name,
        scopes: token
            .scopes
            .iter()
            .map(|scope| scope.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        created: time::minute(token.created_at_ms),
        expired: token.expires_at_ms.is_some_and(|end| end <= now_ms),
        expires: token.expires_at_ms.map(time::minute),
        last_used: token.last_used_ms.map(time::minute),
    };
    tokens.into_iter().map(row).collect()
}

struct ScopeChoice {
    word: &'static str,
    about: &'static str,
    chosen: bool,
}

/// What somebody filled into the form of a new token.
struct Draft {
    name: String,
    days: String,
    scopes: Vec<String>,
}

impl Draft {
    fn empty() -> Self {
        Self {
            name: String::new(),
            days: "90".to_owned(),
            scopes: Vec::new(),
        }
    }

    /// From the fields in their order: check boxes come once for each that is checked.
    fn from_fields(fields: &[(String, String)]) -> Self {
        let all = |name: &str| {
            let of = fields.iter().filter(|(known, _)| known == name);
            of.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let one = |name: &str| all(name).pop().unwrap_or_default();
        Self {
            name: one("name"),
            days: one("days"),
            scopes: all("scope"),
        }
    }

    fn wanted(&self) -> Result<TokenRequest, Problem> {
        let wrong = |text: String| Problem::new(Code::Unprocessable, text);
        let scopes = self
            .scopes
            .iter()
            .map(|word| word.parse::<Scope>())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|message| wrong(format!("scopes: {message}.")))?;
        let expires_in_days = match self.days.trim() {
            "" | "never" => None,
            text => Some(text.parse().map_err(|_| {
                wrong(format!(
                    "expires_in_days: {text:?} is not a number of days."
                ))
            })?),
        };
        Ok(TokenRequest {
            name: self.name.clone(),
            scopes,
            expires_in_days,
        })
    }

    fn choices(&self) -> Vec<ScopeChoice> {
        Scope::ALL
            .iter()
            .map(|scope| ScopeChoice {
                word: scope.as_str(),
                about: scope.about(),
                chosen: self.scopes.iter().any(|word| word == scope.as_str()),
            })
            .collect()
    }
}

#[derive(Template)]
#[template(path = "tokens/index.html")]
struct Index {
    chrome: Chrome,
    title: String,
    /// Where the form goes, and below it the tokens.
    action: String,
    revoke: String,
    /// Of a service account: its workspace's page, and whether it may be changed.
    service: Option<ServicePart>,
    tokens: Vec<Row>,
    made: Option<String>,
    draft_name: String,
    draft_days: String,
    choices: Vec<ScopeChoice>,
    may_manage: bool,
    errors: Vec<FieldError>,
}

struct ServicePart {
    role: &'static str,
    back: String,
    delete: String,
}

struct Shown {
    made: Option<String>,
    draft: Draft,
    errors: Vec<FieldError>,
}

impl Shown {
    fn plain() -> Self {
        Self {
            made: None,
            draft: Draft::empty(),
            errors: Vec::new(),
        }
    }
}

async fn show(page: &PageCtx, shown: Shown) -> Result<Response, Problem> {
    let tokens = ops::list(&page.ctx).await?.items;
    html(&Index {
        chrome: Chrome::of(page, None, "account"),
        title: "API tokens".to_owned(),
        action: "/account/tokens".to_owned(),
        revoke: "/account/tokens".to_owned(),
        service: None,
        tokens: rows(tokens, page.ctx.now_ms()),
        made: shown.made,
        choices: shown.draft.choices(),
        draft_name: shown.draft.name,
        draft_days: shown.draft.days,
        may_manage: true,
        errors: shown.errors,
    })
}

async fn index(page: PageCtx) -> Result<Response, Problem> {
    show(&page, Shown::plain()).await
}

/// What became of an attempt to make something: a page that shows it, one that shows what is wrong, or the way to a
/// fresh sign-in.
enum Outcome {
    Made(Shown),
    Wrong(Shown),
    Elsewhere(Response),
}

fn outcome(
    made: Result<super::model::NewToken, Problem>,
    draft: Draft,
    back: &str,
) -> Result<Outcome, Problem> {
    match made {
        Ok(made) => Ok(Outcome::Made(Shown {
            made: Some(made.value),
            ..Shown::plain()
        })),
        Err(problem) if problem.code == Code::ReauthenticationRequired => {
            let next: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
            let to = format!("/account/reauthenticate?next={next}");
            Ok(Outcome::Elsewhere(Redirect::to(&to).into_response()))
        }
        Err(problem) if matches!(problem.code, Code::Unprocessable | Code::Conflict) => {
            let fields = ["name", "scopes", "expires_in_days"];
            let errors = vec![FieldError::of(&problem, &fields, "")];
            Ok(Outcome::Wrong(Shown {
                made: None,
                draft,
                errors,
            }))
        }
        Err(problem) => Err(problem),
    }
}

async fn create(
    PageForm { page, form }: PageForm<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let draft = Draft::from_fields(&form);
    let made = match draft.wanted() {
        Ok(wanted) => ops::create(&page.ctx, wanted).await,
        Err(problem) => Err(problem),
    };
    match outcome(made, draft, "/account/tokens")? {
        Outcome::Made(shown) => show(&page, shown).await,
        Outcome::Wrong(shown) => {
            let mut response = show(&page, shown).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Outcome::Elsewhere(response) => Ok(response),
    }
}

async fn revoke(
    Path(token): Path<TokenId>,
    PageForm { page, .. }: PageForm<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    ops::revoke(&page.ctx, token).await?;
    Ok(Redirect::to("/account/tokens").into_response())
}

struct AccountRow {
    id: String,
    name: String,
    role: &'static str,
    tokens: usize,
    created: String,
}

#[derive(Template)]
#[template(path = "tokens/service_accounts.html")]
struct Accounts {
    chrome: Chrome,
    accounts: Vec<AccountRow>,
    name: String,
    role: String,
    may_manage: bool,
    errors: Vec<FieldError>,
}

async fn show_accounts(
    page: &PageCtx,
    workspace: WorkspaceId,
    draft: (String, String),
    errors: Vec<FieldError>,
) -> Result<Response, Problem> {
    let chip = members::workspace_chip(&page.ctx, workspace).await?;
    let role: Option<Role> = chip.role.parse().ok();
    let accounts = service::list(&page.ctx, workspace).await?.items;
    let row = |one: super::model::ServiceAccount| AccountRow {
        id: one.id.to_string(),
        name: one.name,
        role: one.role.as_str(),
        tokens: one.tokens,
        created: time::minute(one.created_at_ms),
    };
    html(&Accounts {
        may_manage: role.is_some_and(|role| role.allows(PermissionId::ServiceAccountsManage)),
        accounts: accounts.into_iter().map(row).collect(),
        name: draft.0,
        role: draft.1,
        errors,
        chrome: Chrome::of(page, Some(chip), "service-accounts"),
    })
}

async fn accounts(page: PageCtx, Path(workspace): Path<WorkspaceId>) -> Result<Response, Problem> {
    let draft = (String::new(), "user".to_owned());
    show_accounts(&page, workspace, draft, Vec::new()).await
}

#[derive(serde::Deserialize)]
struct AccountForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    role: String,
}

async fn create_account(
    Path(workspace): Path<WorkspaceId>,
    PageForm { page, form }: PageForm<AccountForm>,
) -> Result<Response, Problem> {
    let made = match form.role.parse::<Role>() {
        Ok(role) => service::create(&page.ctx, workspace, &form.name, role).await,
        Err(message) => Err(Problem::new(
            Code::Unprocessable,
            format!("role: {message}."),
        )),
    };
    match made {
        Ok(made) => Ok(Redirect::to(&format!(
            "/workspaces/{workspace}/service-accounts/{}",
            made.id
        ))
        .into_response()),
        Err(problem) if matches!(problem.code, Code::Unprocessable | Code::Conflict) => {
            let errors = vec![FieldError::of(&problem, &["name", "role"], "")];
            let draft = (form.name, form.role);
            let mut response = show_accounts(&page, workspace, draft, errors).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Err(problem) => Err(problem),
    }
}

async fn show_account(
    page: &PageCtx,
    workspace: WorkspaceId,
    user: UserId,
    shown: Shown,
) -> Result<Response, Problem> {
    let chip = members::workspace_chip(&page.ctx, workspace).await?;
    let role: Option<Role> = chip.role.parse().ok();
    let known = service::list(&page.ctx, workspace).await?.items;
    let one = known
        .into_iter()
        .find(|one| one.id == user)
        .ok_or_else(Problem::not_found)?;
    let tokens = service::tokens(&page.ctx, workspace, user).await?.items;
    let back = format!("/workspaces/{workspace}/service-accounts");
    html(&Index {
        title: one.name,
        action: format!("{back}/{user}"),
        revoke: format!("{back}/{user}/tokens"),
        service: Some(ServicePart {
            role: one.role.as_str(),
            delete: format!("{back}/{user}/delete"),
            back,
        }),
        tokens: rows(tokens, page.ctx.now_ms()),
        made: shown.made,
        choices: shown.draft.choices(),
        draft_name: shown.draft.name,
        draft_days: shown.draft.days,
        may_manage: role.is_some_and(|role| role.allows(PermissionId::ServiceAccountsManage)),
        errors: shown.errors,
        chrome: Chrome::of(page, Some(chip), "service-accounts"),
    })
}

async fn account(
    page: PageCtx,
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
) -> Result<Response, Problem> {
    show_account(&page, workspace, user, Shown::plain()).await
}

async fn create_account_token(
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
    PageForm { page, form }: PageForm<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let draft = Draft::from_fields(&form);
    let made = match draft.wanted() {
        Ok(wanted) => service::create_token(&page.ctx, workspace, user, wanted).await,
        Err(problem) => Err(problem),
    };
    let back = format!("/workspaces/{workspace}/service-accounts/{user}");
    match outcome(made, draft, &back)? {
        Outcome::Made(shown) => show_account(&page, workspace, user, shown).await,
        Outcome::Wrong(shown) => {
            let mut response = show_account(&page, workspace, user, shown).await?;
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
        Outcome::Elsewhere(response) => Ok(response),
    }
}

async fn revoke_account_token(
    Path((workspace, user, token)): Path<(WorkspaceId, UserId, TokenId)>,
    PageForm { page, .. }: PageForm<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    service::revoke_token(&page.ctx, workspace, user, token).await?;
    let back = format!("/workspaces/{workspace}/service-accounts/{user}");
    Ok(Redirect::to(&back).into_response())
}

async fn delete_account(
    Path((workspace, user)): Path<(WorkspaceId, UserId)>,
    PageForm { page, .. }: PageForm<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    service::delete(&page.ctx, workspace, user).await?;
    let back = format!("/workspaces/{workspace}/service-accounts");
    Ok(Redirect::to(&back).into_response())
}
