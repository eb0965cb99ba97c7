//! Wrapped keys of workspaces that change: one by its own rotation, all by a rotation of the master.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait};

use super::model::workspace;
use crate::context::Services;
use crate::kernel::WorkspaceId;
use crate::store::{
    ScopedRead, ScopedSelect, ScopedSnapshot, ScopedTx, StoreError, SystemPurpose, Unaudited,
};
use crate::vault::WrappedKey;

/// All of them.
///
/// # Errors
/// [`StoreError`].
pub async fn workspace_keys(
    services: &Services,
) -> Result<Vec<(WorkspaceId, Vec<u8>)>, StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    let rows = tx.all(workspace::Entity::find()).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.wrapped_key))
        .collect())
}

/// Puts the third in the place of the second, where that still stands: a key that was exchanged or deleted meanwhile stays
/// so. The rotation has its entry; each key is what it was.
///
/// # Errors
/// [`StoreError`]; none was replaced then.
pub async fn replace_workspace_keys(
    services: &Services,
    keys: Vec<(WorkspaceId, Vec<u8>, Vec<u8>)>,
) -> Result<(), StoreError> {
    let tx = services.store.system(SystemPurpose::Rotation).await?;
    for (id, old, new) in keys {
        let unchanged = Condition::all()
            .add(workspace::Column::Id.eq(id))
            .add(workspace::Column::WrappedKey.eq(old));
        let values = workspace::ActiveModel {
            wrapped_key: Set(new),
            ..Default::default()
        };
        tx.update_where::<workspace::Entity>(unchanged, values)
            .await?;
    }
    tx.commit_unaudited(Unaudited::Housekeeping).await
}

/// The key of the transaction's workspace, for what is read in the same transaction: a rotation changes key and values at one
/// moment.
///
/// # Errors
/// [`StoreError::Absent`] when the workspace is gone.
pub async fn key_in(tx: &ScopedSnapshot) -> Result<WrappedKey, StoreError> {
    found(its_own(tx).one().await?)
}

/// The key of the transaction's workspace, which nobody changes until it ends: for what is sealed with it and written.
///
/// # Errors
/// [`StoreError::Absent`] when the workspace is gone.
pub async fn key_to_use(tx: &ScopedTx) -> Result<WrappedKey, StoreError> {
    found(its_own(tx).for_share().one().await?)
}

/// As [`key_to_use`], for [`change_key`]: nobody who uses it is under way any more.
///
/// # Errors
/// As [`key_to_use`].
pub async fn key_to_change(tx: &ScopedTx) -> Result<WrappedKey, StoreError> {
    found(its_own(tx).for_update().one().await?)
}

/// The transaction's workspace, asked for by its id although the scope leaves no other.
fn its_own(tx: &ScopedRead) -> ScopedSelect<'_, workspace::Entity> {
    tx.find::<workspace::Entity>()
        .filter(workspace::Column::Id.eq(tx.workspace()))
}

fn found(row: Option<workspace::Model>) -> Result<WrappedKey, StoreError> {
    let row = row.ok_or(StoreError::Absent)?;
    Ok(WrappedKey(row.wrapped_key))
}

/// Puts `key` in the place of the one that [`key_to_change`] gave.
///
/// # Errors
/// [`StoreError`].
pub async fn change_key(tx: &ScopedTx, key: WrappedKey) -> Result<(), StoreError> {
    tx.update_many::<workspace::Entity>()
        .set(workspace::Column::WrappedKey, key.0)
        .exec()
        .await?;
    Ok(())
}
