//! The caller's or an inviter's role as it is in the transaction of a change.
//!
//! A grant is minted a moment before the transaction begins, and meanwhile somebody may have taken the right away. So a
//! change that gives rights to others reads that row again, locked: what takes the right away waits for it, or
//! is seen by it.

use sea_orm::{ColumnTrait, EntityTrait, QuerySelect};

use super::rules::may_invite;
use crate::authz::{AuthzError, Role, membership};
use crate::kernel::{Problem, UserId, WorkspaceId};
use crate::store::{Grant, Permission, ScopedRead, StoreError, SystemTx};

/// The role that the grant's user has now, which still allows what the grant is for.
///
/// # Errors
/// 404 when they are no member any more; 403 when their role does not allow it any more.
pub(super) async fn now<P: Permission>(tx: &ScopedRead, grant: &Grant<P>) -> Result<Role, Problem> {
    let row = tx
        .find::<membership::Entity>()
        .filter(membership::Column::AccountId.eq(grant.user()))
        .for_update()
        .one()
        .await?;
    allowed::<P>(row)
}

/// As [`now`], in a transaction that writes accounts and so has no workspace.
///
/// # Errors
/// As [`now`].
pub async fn still<P: Permission>(tx: &SystemTx, grant: &Grant<P>) -> Result<Role, Problem> {
    allowed::<P>(locked(tx, grant.workspace(), grant.user()).await?)
}

/// Whether `inviter` may still invite somebody to be `role`: an open invitation is worth what its inviter's role is
/// worth when it is used.
pub(super) async fn stands(
    tx: &SystemTx,
    workspace: WorkspaceId,
    inviter: UserId,
    role: Role,
) -> Result<bool, StoreError> {
    let row = locked(tx, workspace, inviter).await?;
    let by = row.and_then(|row| row.role.parse().ok());
    Ok(by.is_some_and(|by| may_invite(by, role)))
}

async fn locked(
    tx: &SystemTx,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Option<membership::Model>, StoreError> {
    let query = membership::Entity::find_by_id((workspace, user)).lock_exclusive();
    tx.one(query).await
}

fn allowed<P: Permission>(row: Option<membership::Model>) -> Result<Role, Problem> {
    let row = row.ok_or_else(Problem::not_found)?;
    // An unknown word in the database gives no rights.
    let role: Role = row.role.parse().map_err(|_| Problem::not_found())?;
    if role.allows(P::ID) {
        Ok(role)
    } else {
        Err(AuthzError::Role(role).into())
    }
}
