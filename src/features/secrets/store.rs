//! Queries of secrets.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ColumnTrait, Order};

use super::model::{Scope, project, secret, version};
use crate::kernel::{ProjectId, SecretId};
use crate::store::{ScopedRead, ScopedSelect, ScopedTx, StoreError};

/// All secrets of a scope by name.
pub async fn list(tx: &ScopedRead, scope: &str) -> Result<Vec<secret::Model>, StoreError> {
    tx.find::<secret::Entity>()
        .filter(secret::Column::Scope.eq(scope))
        .order_by(secret::Column::Name, Order::Asc)
        .all()
        .await
}

/// Whether what a scope is about is there: a project may not be.
pub async fn there(tx: &ScopedRead, scope: Scope) -> Result<bool, StoreError> {
    match scope.project() {
        None => Ok(true),
        Some(id) => Ok(the_project(tx, id).one().await?.is_some()),
    }
}

/// As [`there`], and so until the transaction ends.
pub async fn keep_there(tx: &ScopedTx, scope: Scope) -> Result<bool, StoreError> {
    match scope.project() {
        None => Ok(true),
        Some(id) => Ok(the_project(tx, id).for_share().one().await?.is_some()),
    }
}

fn the_project(tx: &ScopedRead, id: ProjectId) -> ScopedSelect<'_, project::Entity> {
    tx.find::<project::Entity>()
        .filter(project::Column::Id.eq(id))
}

/// All projects by name.
pub async fn projects(tx: &ScopedRead) -> Result<Vec<project::Model>, StoreError> {
    tx.find::<project::Entity>()
        .order_by(project::Column::Name, Order::Asc)
        .all()
        .await
}

/// All secrets of all projects.
pub async fn of_projects(tx: &ScopedRead) -> Result<Vec<secret::Model>, StoreError> {
    tx.find::<secret::Entity>()
        .filter(secret::Column::Scope.starts_with(Scope::OF_PROJECTS))
        .order_by(secret::Column::Name, Order::Asc)
        .all()
        .await
}

/// All secrets of those projects in which some value refers to others, by project and name.
pub async fn of_referring_projects(
    tx: &ScopedRead,
) -> Result<BTreeMap<String, Vec<secret::Model>>, StoreError> {
    let referring = tx
        .find::<secret::Entity>()
        .filter(secret::Column::Scope.starts_with(Scope::OF_PROJECTS))
        .filter(secret::Column::Expand.eq(true))
        .filter(secret::Column::RefersTo.ne(""))
        .all()
        .await?;
    let scopes: BTreeSet<String> = referring.into_iter().map(|row| row.scope).collect();
    let mut found = BTreeMap::new();
    for scope in scopes {
        let rows = list(tx, &scope).await?;
        found.insert(scope, rows);
    }
    Ok(found)
}

/// The secrets of these scopes by name, a later scope's in the place of an earlier one's.
pub async fn layered(
    tx: &ScopedRead,
    scopes: &[String],
) -> Result<BTreeMap<String, secret::Model>, StoreError> {
    let mut found = BTreeMap::new();
    for scope in scopes {
        let rows = list(tx, scope).await?;
        found.extend(rows.into_iter().map(|row| (row.name.clone(), row)));
    }
    Ok(found)
}

/// How many secrets the scope has.
pub async fn count(tx: &ScopedRead, scope: &str) -> Result<u64, StoreError> {
    tx.find::<secret::Entity>()
        .filter(secret::Column::Scope.eq(scope))
        .count()
        .await
}

/// One secret by name.
pub async fn find(
    tx: &ScopedRead,
    scope: &str,
    name: &str,
) -> Result<Option<secret::Model>, StoreError> {
    tx.find::<secret::Entity>()
        .filter(secret::Column::Scope.eq(scope))
        .filter(secret::Column::Name.eq(name))
        .one()
        .await
}

/// Those of a scope with one of these names, by name.
pub async fn named(
    tx: &ScopedRead,
    scope: &str,
    names: &[&str],
) -> Result<BTreeMap<String, secret::Model>, StoreError> {
    named_of(some_of(tx, scope, names)).await
}

/// As [`named`], kept from others until the transaction ends.
pub async fn lock(
    tx: &ScopedTx,
    scope: &str,
    names: &[&str],
) -> Result<BTreeMap<String, secret::Model>, StoreError> {
    named_of(some_of(tx, scope, names).for_update()).await
}

fn some_of<'tx>(
    tx: &'tx ScopedRead,
    scope: &str,
    names: &[&str],
) -> ScopedSelect<'tx, secret::Entity> {
    tx.find::<secret::Entity>()
        .filter(secret::Column::Scope.eq(scope))
        .filter(secret::Column::Name.is_in(names.iter().copied()))
        .order_by(secret::Column::Name, Order::Asc)
}

async fn named_of(
    select: ScopedSelect<'_, secret::Entity>,
) -> Result<BTreeMap<String, secret::Model>, StoreError> {
    let rows = select.all().await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect())
}

/// The sealed value of a version.
pub async fn value(
    tx: &ScopedRead,
    id: SecretId,
    number: i64,
) -> Result<Option<version::Model>, StoreError> {
    tx.find::<version::Entity>()
        .filter(version::Column::SecretId.eq(id))
        .filter(version::Column::Version.eq(number))
        .one()
        .await
}

/// All versions, the newest first.
pub async fn versions(tx: &ScopedRead, id: SecretId) -> Result<Vec<version::Model>, StoreError> {
    tx.find::<version::Entity>()
        .filter(version::Column::SecretId.eq(id))
        .order_by(version::Column::Version, Order::Desc)
        .all()
        .await
}

/// Notes that these were delivered.
pub async fn delivered(tx: &ScopedTx, ids: Vec<SecretId>, now_ms: i64) -> Result<(), StoreError> {
    tx.update_many::<secret::Entity>()
        .filter(secret::Column::Id.is_in(ids))
        .set(secret::Column::LastDeliveredAtMs, now_ms)
        .exec()
        .await?;
    Ok(())
}

/// Deletes all secrets of a scope with their versions and says which those were.
pub async fn delete_all(tx: &ScopedTx, scope: &str) -> Result<Vec<secret::Model>, StoreError> {
    let rows = list(tx, scope).await?;
    let ids: Vec<SecretId> = rows.iter().map(|row| row.id).collect();
    tx.delete_many::<version::Entity>()
        .filter(version::Column::SecretId.is_in(ids.iter().copied()))
        .exec()
        .await?;
    tx.delete_many::<secret::Entity>()
        .filter(secret::Column::Id.is_in(ids))
        .exec()
        .await?;
    Ok(rows)
}

/// Deletes a secret with all its versions and says whether it was there.
pub async fn delete(tx: &ScopedTx, id: SecretId) -> Result<bool, StoreError> {
    tx.delete_many::<version::Entity>()
        .filter(version::Column::SecretId.eq(id))
        .exec()
        .await?;
    Ok(tx
        .delete_many::<secret::Entity>()
        .filter(secret::Column::Id.eq(id))
        .exec()
        .await?
        > 0)
}
