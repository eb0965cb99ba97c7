//! Queries of projects.

use sea_orm::{ColumnTrait, Order};

use super::model::project;
use crate::kernel::ProjectId;
use crate::store::{ScopedTx, StoreError};

/// All projects of the workspace, newest first.
pub async fn list(tx: &ScopedTx) -> Result<Vec<project::Model>, StoreError> {
    tx.find::<project::Entity>()
        .order_by(project::Column::CreatedAtMs, Order::Desc)
        .limit(1_000)
        .all()
        .await
}

/// One project of the workspace.
pub async fn find(tx: &ScopedTx, id: ProjectId) -> Result<Option<project::Model>, StoreError> {
    tx.find::<project::Entity>()
        .filter(project::Column::Id.eq(id))
        .one()
        .await
}

/// A folder name that no other project of the workspace has: `wanted`, else with a number.
pub async fn free_slug(tx: &ScopedTx, wanted: &str) -> Result<String, StoreError> {
    let taken: std::collections::HashSet<String> = tx
        .find::<project::Entity>()
        .filter(project::Column::Slug.starts_with(wanted))
        .all()
        .await?
        .into_iter()
        .map(|row| row.slug)
        .collect();
    if !taken.contains(wanted) {
        return Ok(wanted.to_owned());
    }
    let free = (2_u32..)
        .map(|number| format!("{wanted}-{number}"))
        .find(|slug| !taken.contains(slug));
    free.ok_or(StoreError::Duplicate)
}

/// Deletes one project and says whether it was there.
pub async fn delete(tx: &ScopedTx, id: ProjectId) -> Result<bool, StoreError> {
    Ok(tx
        .delete_many::<project::Entity>()
        .filter(project::Column::Id.eq(id))
        .exec()
        .await?
        > 0)
}
