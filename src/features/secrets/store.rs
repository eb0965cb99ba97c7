//! Queries of secrets.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, Order};

use super::model::{secret, version};
use crate::kernel::{SecretId, UserId};
use crate::store::{ScopedRead, ScopedSelect, ScopedTx, StoreError};

/// All secrets of a scope by name.
pub async fn list(tx: &ScopedRead, scope: &str) -> Result<Vec<secret::Model>, StoreError> {
    tx.find::<secret::Entity>()
        .filter(secret::Column::Scope.eq(scope))
        .order_by(secret::Column::Name, Order::Asc)
        .all()
        .await
}

/// What a member's container gets, by name: the workspace's, and the member's own in the place of those.
pub async fn effective(
    tx: &ScopedRead,
    user: UserId,
) -> Result<BTreeMap<String, secret::Model>, StoreError> {
    let mut rows = list(tx, "").await?;
    rows.extend(list(tx, &user.to_string()).await?);
    Ok(rows
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect())
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
