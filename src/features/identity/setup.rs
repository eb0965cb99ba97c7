//! The first visit: a one-time link makes the owner, an organization and a workspace.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait};

use super::sessions::{NewSession, Stage};
use super::{password, setup_code};
use crate::authz::accounts::account;
use crate::context::Services;
use crate::features::audit::{self, Action, Stranger};
use crate::features::members::{self, NewWorkspace, email_complaint, name_complaint, normal_email};
use crate::kernel::{Code, OrganizationId, Problem, SecretString, UserId, WorkspaceId};
use crate::store::{Entries, StoreError, SystemPurpose, Unaudited};
use crate::vault::MacPurpose;
use crate::web::FieldError;

const LINK_MS: i64 = 24 * 60 * 60 * 1_000;

/// What the owner fills in.
pub struct Owner {
    /// Display name.
    pub name: String,
    /// Address to sign in with.
    pub email: String,
    /// Password.
    pub password: SecretString,
    /// Name of the organization.
    pub organization: String,
    /// Name of the first workspace.
    pub workspace: String,
}

/// Who was made.
pub struct Made {
    /// The owner.
    pub user: UserId,
    /// The organization.
    pub organization: OrganizationId,
    /// The workspace.
    pub workspace: WorkspaceId,
}

/// Why nothing was made.
pub enum SetupError {
    /// Fields to correct.
    Fields(Vec<FieldError>),
    /// Everything else.
    Problem(Problem),
}

impl<E: Into<Problem>> From<E> for SetupError {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

/// The address to print at start: a one-time link while there is no account, the console afterwards.
///
/// # Errors
/// When the vault or the database does not answer.
pub async fn sign_in_address(services: &Services) -> Result<String, Problem> {
    let code = URL_SAFE_NO_PAD.encode(services.rng.bytes::<32>());
    let hash = services
        .vault
        .mac(MacPurpose::SetupCode, code.as_bytes())
        .await?;
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    if tx.one(account::Entity::find()).await?.is_some() {
        return Ok(format!("{}/", services.public_url));
    }
    // Earlier links end: only the one printed last works. Where several servers share the database, each printed one, and
    // whichever is opened first ends the others.
    let over = if services.store.is_shared() {
        Condition::all().add(setup_code::Column::ExpiresAtMs.lte(services.clock.now_ms()))
    } else {
        Condition::all()
    };
    tx.delete_where::<setup_code::Entity>(over).await?;
    tx.insert(setup_code::ActiveModel {
        code_hash: Set(hash.to_vec()),
        expires_at_ms: Set(services.clock.now_ms() + LINK_MS),
        used_at_ms: Set(None),
    })
    .await?;
    tx.commit_unaudited(Unaudited::UsedUp).await?;
    Ok(format!("{}/setup?code={code}", services.public_url))
}

fn link_is_over() -> Problem {
    Problem::new(
        Code::NotFound,
        "This sign-in link was used already, or has ended. Sign in instead; if nobody has made an account yet, \
         restart the server: it prints a new link.",
    )
}

/// Whether the code would still be taken.
///
/// # Errors
/// 404 when it would not.
pub async fn check_code(services: &Services, code: &str) -> Result<(), Problem> {
    let hash = services
        .vault
        .mac(MacPurpose::SetupCode, code.as_bytes())
        .await?;
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let row = tx
        .one(setup_code::Entity::find_by_id(hash.to_vec()))
        .await?
        .ok_or_else(link_is_over)?;
    if row.used_at_ms.is_some() || row.expires_at_ms <= services.clock.now_ms() {
        return Err(link_is_over());
    }
    Ok(())
}

/// Uses up the link, makes everything and opens a session, in one transaction.
///
/// # Errors
/// [`SetupError::Fields`] for the form; 404 when the link is over.
pub async fn complete(
    services: &Services,
    code: &str,
    owner: Owner,
    from: Stranger<'_>,
    user_agent: &str,
) -> Result<NewSession, SetupError> {
    check_code(services, code).await?;
    let errors = complaints(&owner);
    if !errors.is_empty() {
        return Err(SetupError::Fields(errors));
    }
    let code_hash = services
        .vault
        .mac(MacPurpose::SetupCode, code.as_bytes())
        .await?;
    let session = NewSession::prepare(services).await?;
    let link = Link {
        code_hash: code_hash.to_vec(),
        session: &session,
        from,
        user_agent,
    };
    make(services, owner, Some(link)).await?;
    Ok(session)
}

/// The link that is used up by making the owner, and the session that it opens.
pub struct Link<'a> {
    code_hash: Vec<u8>,
    session: &'a NewSession,
    from: Stranger<'a>,
    user_agent: &'a str,
}

/// Makes an owner with an organization and a workspace of their own.
///
/// # Errors
/// A conflict when the address is taken.
pub async fn make(
    services: &Services,
    owner: Owner,
    link: Option<Link<'_>>,
) -> Result<Made, Problem> {
    let now = services.clock.now_ms();
    let workspace = NewWorkspace::new(services);
    let workspace_id = workspace.id;
    let password_hash = password::hash(owner.password, services.rng).await?;
    let user = UserId::new(&services.clock, &services.rng);
    let tx = services.store.system(SystemPurpose::Setup).await?;
    if let Some(link) = &link {
        // The row itself decides who came first, whatever was checked before.
        let unused = Condition::all()
            .add(setup_code::Column::CodeHash.eq(link.code_hash.clone()))
            .add(setup_code::Column::UsedAtMs.is_null())
            .add(setup_code::Column::ExpiresAtMs.gt(now));
        let used = setup_code::ActiveModel {
            used_at_ms: Set(Some(now)),
            ..Default::default()
        };
        if tx.update_where::<setup_code::Entity>(unused, used).await? != 1 {
            return Err(link_is_over());
        }
        // A server that starts while the first account is made may print a link a moment too late.
        if tx.one(account::Entity::find()).await?.is_some() {
            return Err(link_is_over());
        }
    }
    // There is an owner now, made here or on the command line: no link that was printed makes another.
    tx.delete_where::<setup_code::Entity>(Condition::all())
        .await?;
    tx.insert(account::ActiveModel::person(
        user,
        normal_email(&owner.email),
        &owner.name,
        password_hash,
        now,
    ))
    .await
    .map_err(|error| match error {
        StoreError::Duplicate => Problem::new(
            Code::Conflict,
            format!(
                "An account with the address {} exists. Use another.",
                owner.email
            ),
        ),
        other => other.into(),
    })?;
    let organization = members::create_organization(
        &tx,
        services,
        owner.organization.trim(),
        owner.workspace.trim(),
        workspace,
        user,
    )
    .await?;
    let entries = match link {
        Some(link) => {
            link.session
                .open(
                    &tx,
                    user,
                    Stage::Active,
                    now,
                    link.from.address,
                    link.user_agent,
                )
                .await?;
            let by =
                |action, object| audit::by_stranger(services, link.from, user, action, object, "");
            Entries::from(by(Action::AccountCreate, user.to_string()))
                .and(by(Action::OrganizationCreate, organization.to_string()))
                .and(by(Action::WorkspaceCreate, workspace_id.to_string()))
                .and(by(Action::SessionOpen, link.session.id.to_string()))
        }
        None => {
            let by = |action, object| audit::by_host(services, action, object, "");
            Entries::from(by(Action::AccountCreate, user.to_string()))
                .and(by(Action::OrganizationCreate, organization.to_string()))
                .and(by(Action::WorkspaceCreate, workspace_id.to_string()))
        }
    };
    tx.commit(&[organization], entries).await?;
    Ok(Made {
        user,
        organization,
        workspace: workspace_id,
    })
}

/// What is not right in the form.
pub fn complaints(owner: &Owner) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(message) = email_complaint(&owner.email) {
        errors.push(FieldError {
            field: "email".to_owned(),
            message,
        });
    }
    for (field, value) in [
        ("name", &owner.name),
        ("organization", &owner.organization),
        ("workspace", &owner.workspace),
    ] {
        if let Some(message) = name_complaint(value) {
            errors.push(FieldError {
                field: field.to_owned(),
                message,
            });
        }
    }
    if let Some(message) = password::complaint(&owner.password, owner.email.trim()) {
        errors.push(FieldError {
            field: "password".to_owned(),
            message,
        });
    }
    errors
}
