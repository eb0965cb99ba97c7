//! What the host's administrator does from the command line, without a browser.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::password;
use super::setup::{self, Owner};
use crate::authz::accounts::{account, api_token};
use crate::authz::{Role, Scope, new_token};
use crate::context::Services;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{Code, OrganizationId, Problem, SecretString, TokenId, UserId, WorkspaceId};
use crate::store::{StoreError, SystemPurpose};
use crate::vault::MacPurpose;

/// Who was made.
#[derive(serde::Serialize)]
pub struct CreatedOwner {
    /// The owner.
    pub user_id: UserId,
    /// Their organization.
    pub organization_id: OrganizationId,
    /// Its first workspace.
    pub workspace_id: WorkspaceId,
}

/// Makes an owner with an organization and a workspace.
///
/// # Errors
/// `unprocessable` naming what is not right; a conflict when the address is taken.
pub async fn create_owner(
    services: &Services,
    email: String,
    name: String,
    password: SecretString,
    organization: String,
    workspace: String,
) -> Result<CreatedOwner, Problem> {
    let owner = Owner {
        name,
        email,
        password,
        organization,
        workspace,
    };
    let errors = setup::complaints(&owner);
    if !errors.is_empty() {
        let text = errors
            .iter()
            .map(|error| format!("{}: {}", error.field, error.message))
            .collect::<Vec<_>>();
        return Err(Problem::new(Code::Unprocessable, text.join(" ")));
    }
    let made = setup::make(services, owner, None).await?;
    Ok(CreatedOwner {
        user_id: made.user,
        organization_id: made.organization,
        workspace_id: made.workspace,
    })
}

/// Who is added to a workspace.
pub enum Addition {
    /// Somebody without an account, whose display name and password these are.
    New(String, SecretString),
    /// The account that is there already; its name and its password stay.
    Existing,
}

/// Adds a person to a workspace, with a new account or with the one that they have.
///
/// # Errors
/// `unprocessable` naming what is not right; a conflict when there is an account and a new one was asked for, and when the
/// person is a member already.
pub async fn add_member(
    services: &Services,
    workspace: WorkspaceId,
    email: &str,
    role: Role,
    who: Addition,
) -> Result<UserId, Problem> {
    let wrong = |message: String| Problem::new(Code::Unprocessable, message);
    if let Some(message) = members::email_complaint(email) {
        return Err(wrong(message));
    }
    let place = members::find_workspace(services, workspace)
        .await?
        .ok_or_else(|| {
            Problem::new(
                Code::Unprocessable,
                format!("There is no workspace {workspace}. Check --workspace."),
            )
        })?;
    let email = members::normal_email(email);
    let new = match who {
        Addition::Existing => None,
        Addition::New(name, secret) => {
            if let Some(message) = password::complaint(&secret, &email) {
                return Err(wrong(format!("password: {message}")));
            }
            if let Some(message) = members::name_complaint(&name) {
                return Err(wrong(message));
            }
            Some((name, password::hash(secret, services.rng).await?))
        }
    };
    let tx = services.store.system(SystemPurpose::Setup).await?;
    let known = tx
        .one(account::Entity::find().filter(account::Column::Email.eq(&email)))
        .await?;
    let user = match (known, new) {
        (Some(row), None) => row.id,
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                Code::Conflict,
                format!(
                    "There is an account with the address {email} already, so the password was not used. To add that \
                     account, whose password stays as it is, say --existing."
                ),
            ));
        }
        (None, None) => {
            return Err(wrong(format!(
                "There is no account with the address {email}. Leave out --existing to make one."
            )));
        }
        (None, Some((name, password_hash))) => {
            let id = UserId::new(&services.clock, &services.rng);
            let now = services.clock.now_ms();
            tx.insert(account::ActiveModel::person(
                id,
                email.clone(),
                &name,
                password_hash,
                now,
            ))
            .await?;
            id
        }
    };
    members::add_member(&tx, services, place.organization_id, workspace, user, role)
        .await
        .map_err(|error| match error {
            StoreError::Duplicate => Problem::new(
                Code::Conflict,
                format!("{email} is a member of {workspace} already."),
            ),
            other => other.into(),
        })?;
    let entry = audit::by_host(services, Action::MemberAdd, user, role.as_str());
    tx.commit_in(place.organization_id, workspace, entry)
        .await?;
    Ok(user)
}

/// Makes an API token for the account with this address; the token is returned here and nowhere else.
///
/// # Errors
/// `unprocessable` when there is no such account.
pub async fn create_token(
    services: &Services,
    email: &str,
    name: &str,
    scopes: &[Scope],
    expires_at_ms: Option<i64>,
) -> Result<String, Problem> {
    let token = new_token(&services.rng);
    let hash = services
        .vault
        .mac(MacPurpose::ApiToken, token.as_bytes())
        .await?;
    let email = members::normal_email(email);
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    let person = tx
        .one(account::Entity::find().filter(account::Column::Email.eq(&email)))
        .await?
        .ok_or_else(|| {
            Problem::new(
                Code::Unprocessable,
                format!("There is no account with the address {email}. Check --user."),
            )
        })?;
    let id = TokenId::new(&services.clock, &services.rng);
    tx.insert(api_token::ActiveModel {
        id: Set(id),
        account_id: Set(person.id),
        name: Set(name.to_owned()),
        token_hash: Set(hash.to_vec()),
        scopes: Set(scopes
            .iter()
            .map(|scope| scope.as_str())
            .collect::<Vec<_>>()
            .join(" ")),
        created_at_ms: Set(services.clock.now_ms()),
        expires_at_ms: Set(expires_at_ms),
        last_used_ms: Set(None),
    })
    .await?;
    let organizations = audit::organizations_of(&tx, person.id).await?;
    let entry = audit::by_host(
        services,
        Action::TokenCreate,
        id,
        format!("of {}", person.id),
    );
    tx.commit(&organizations, entry).await?;
    Ok(token)
}
