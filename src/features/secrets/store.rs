//! Queries of secrets.

use sea_orm::{ColumnTrait, Order};

use super::model::{secret, version};
use crate::kernel::SecretId;
use crate::store::{ScopedRead, ScopedTx, StoreError};

/// All secrets of the workspace by name.
pub async fn list(tx: &ScopedRead) -> Result<Vec<secret::Model>, StoreError> {
    tx.find::<secret::Entity>()
        .order_by(secret::Column::Name, Order::Asc)
        .all()
        .await
}

/// How many secrets the workspace has.
pub async fn count(tx: &ScopedRead) -> Result<u64, StoreError> {
    tx.find::<secret::Entity>().count().await
}

/// One secret by name.
pub async fn find(tx: &ScopedRead, name: &str) -> Result<Option<secret::Model>, StoreError> {
    tx.find::<secret::Entity>()
        .filter(secret::Column::Name.eq(name))
        .one()
        .await
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
