//! Queries of projects.

use std::collections::HashSet;

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Order};

use super::model::{given_slug, project};
use crate::kernel::ProjectId;
use crate::store::{ScopedRead, ScopedTx, StoreError};

/// All projects of the workspace, newest first.
pub async fn list(tx: &ScopedRead) -> Result<Vec<project::Model>, StoreError> {
    tx.find::<project::Entity>()
        .order_by(project::Column::CreatedAtMs, Order::Desc)
        .all()
        .await
}

/// One project of the workspace.
pub async fn find(tx: &ScopedRead, id: ProjectId) -> Result<Option<project::Model>, StoreError> {
    tx.find::<project::Entity>()
        .filter(project::Column::Id.eq(id))
        .one()
        .await
}

/// As [`find`], and nobody makes anything that belongs to it until the transaction ends.
pub async fn lock(tx: &ScopedTx, id: ProjectId) -> Result<Option<project::Model>, StoreError> {
    tx.find::<project::Entity>()
        .filter(project::Column::Id.eq(id))
        .for_update()
        .one()
        .await
}

/// How many projects the workspace has.
pub async fn count(tx: &ScopedRead) -> Result<u64, StoreError> {
    tx.find::<project::Entity>().count().await
}

/// Gives out a folder name that no project of the workspace has or ever had: `wanted`, else with a number. The folder
/// of a deleted project stays in containers, so its name would show the old code as the new project's.
///
/// # Errors
/// [`StoreError::Duplicate`] when somebody else was given the same one in this moment.
pub async fn give_slug(tx: &ScopedTx, wanted: &str) -> Result<String, StoreError> {
    let given: HashSet<String> = tx
        .find::<given_slug::Entity>()
        .filter(given_slug::Column::Slug.starts_with(wanted))
        .all()
        .await?
        .into_iter()
        .map(|row| row.slug)
        .collect();
    let slug = if given.contains(wanted) {
        (2_u32..)
            .map(|number| format!("{wanted}-{number}"))
            .find(|slug| !given.contains(slug))
            .ok_or(StoreError::Duplicate)?
    } else {
        wanted.to_owned()
    };
    tx.insert(given_slug::ActiveModel {
        workspace_id: Set(tx.workspace()),
        slug: Set(slug.clone()),
    })
    .await?;
    Ok(slug)
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
