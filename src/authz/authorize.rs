//! From an actor and a workspace to a grant.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{Actor, MintKey, Role, membership};
use crate::kernel::{Code, Problem, UserId, WorkspaceId};
use crate::store::{Grant, Permission, Store, StoreError, SystemPurpose};

/// Why no grant was given.
#[derive(Debug, thiserror::Error)]
pub enum AuthzError {
    /// Not a member: the workspace looks absent.
    #[error("not a member of this workspace")]
    NotAMember,
    /// A member whose role does not allow it.
    #[error("the role {} does not allow this", .0.as_str())]
    Role(Role),
    /// A token whose scopes do not reach it.
    #[error("the token lacks the scope {0}")]
    Scope(&'static str),
    /// The database failed.
    #[error("reading the membership failed")]
    Store(#[source] StoreError),
}

impl From<AuthzError> for Problem {
    fn from(error: AuthzError) -> Self {
        match error {
            AuthzError::NotAMember => Problem::not_found(),
            AuthzError::Role(role) => Problem::new(
                Code::Forbidden,
                format!(
                    "Your role here, {}, does not allow this. Ask an owner or admin of the workspace.",
                    role.as_str()
                ),
            ),
            AuthzError::Scope(scope) => Problem::new(
                Code::Forbidden,
                format!("The token lacks the scope {scope:?}. Make one that has it."),
            ),
            AuthzError::Store(cause) => cause.into(),
        }
    }
}

/// Checks that `actor` is a member of `workspace` whose role allows `P`, and gives the proof.
///
/// # Errors
/// [`AuthzError::NotAMember`] for foreign and absent workspaces alike.
pub async fn authorize<P: Permission>(
    store: &Store,
    actor: &Actor,
    workspace: WorkspaceId,
) -> Result<Grant<P>, AuthzError> {
    let role = role_of(store, actor.user, workspace).await?;
    if !actor.has_scope(P::ID.scope()) {
        return Err(AuthzError::Scope(P::ID.scope().as_str()));
    }
    if !role.allows(P::ID) {
        return Err(AuthzError::Role(role));
    }
    Ok(Grant::mint(MintKey(()), workspace, actor.user, role))
}

/// A grant for background work on behalf of `user` (the controller that starts their container): the membership is
/// checked now, as for a request.
///
/// # Errors
/// As [`authorize`], without scopes.
pub async fn authorize_user_now<P: Permission>(
    store: &Store,
    user: UserId,
    workspace: WorkspaceId,
) -> Result<Grant<P>, AuthzError> {
    let role = role_of(store, user, workspace).await?;
    if !role.allows(P::ID) {
        return Err(AuthzError::Role(role));
    }
    Ok(Grant::mint(MintKey(()), workspace, user, role))
}

async fn role_of(store: &Store, user: UserId, workspace: WorkspaceId) -> Result<Role, AuthzError> {
    let tx = store
        .system(SystemPurpose::Memberships)
        .await
        .map_err(AuthzError::Store)?;
    let query = membership::Entity::find()
        .filter(membership::Column::WorkspaceId.eq(workspace))
        .filter(membership::Column::AccountId.eq(user));
    let row = tx
        .one(query)
        .await
        .map_err(AuthzError::Store)?
        .ok_or(AuthzError::NotAMember)?;
    // An unknown word in the database gives no rights.
    row.role.parse().map_err(|_| AuthzError::NotAMember)
}
