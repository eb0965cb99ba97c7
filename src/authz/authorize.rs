//! From an actor and a workspace to a grant.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::membership::organization_owner;
use super::{Actor, MintKey, Role, Scope, membership};
use crate::kernel::{Code, OrganizationId, Problem, UserId, WorkspaceId};
use crate::store::{Grant, OrganizationGrant, Permission, Store, StoreError, SystemPurpose};

/// Why no grant was given.
#[derive(Debug, thiserror::Error)]
pub enum AuthzError {
    /// Not a member, or no owner of the organization: it looks absent.
    #[error("no member here")]
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
    let (organization, role) = standing(store, actor.user, workspace).await?;
    if !actor.may(P::ID) {
        return Err(AuthzError::Scope(P::ID.scope().as_str()));
    }
    if !role.allows(P::ID) {
        return Err(AuthzError::Role(role));
    }
    Ok(Grant::mint(
        MintKey(()),
        organization,
        workspace,
        actor.user,
        role,
    ))
}

/// Checks that `actor` is an owner of `organization`, and gives the proof.
///
/// # Errors
/// [`AuthzError::NotAMember`] for foreign and absent organizations alike; [`AuthzError::Scope`].
pub async fn authorize_organization(
    store: &Store,
    actor: &Actor,
    organization: OrganizationId,
) -> Result<OrganizationGrant, AuthzError> {
    let tx = store
        .system(SystemPurpose::Memberships)
        .await
        .map_err(AuthzError::Store)?;
    tx.one(organization_owner::Entity::find_by_id((
        organization,
        actor.user,
    )))
    .await
    .map_err(AuthzError::Store)?
    .ok_or(AuthzError::NotAMember)?;
    if !actor.has_scope(Scope::Organization) {
        return Err(AuthzError::Scope(Scope::Organization.as_str()));
    }
    Ok(OrganizationGrant::mint(
        MintKey(()),
        organization,
        actor.user,
    ))
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
    let (organization, role) = standing(store, user, workspace).await?;
    if !role.allows(P::ID) {
        return Err(AuthzError::Role(role));
    }
    Ok(Grant::mint(
        MintKey(()),
        organization,
        workspace,
        user,
        role,
    ))
}

async fn standing(
    store: &Store,
    user: UserId,
    workspace: WorkspaceId,
) -> Result<(OrganizationId, Role), AuthzError> {
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
    let role = row.role.parse().map_err(|_| AuthzError::NotAMember)?;
    Ok((row.organization_id, role))
}
