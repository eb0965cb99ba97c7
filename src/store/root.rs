//! The barrier between a rotation of the master and whoever writes what the vault has just sealed under a root key.
//!
//! What always holds: such a transaction locks the one row of `root_key` for sharing before the vault seals, and until its
//! end. A rotation, once the vault seals under the new root key only, locks the row alone: from then on everything that was
//! sealed under the old one is there to be found. On SQLite one transaction writes at a time, which comes to the same.

use sea_orm::{DatabaseTransaction, EntityTrait, QuerySelect};

use super::StoreError;

/// The table `root_key`.
mod row {
    use sea_orm::entity::prelude::*;

    /// Its only row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "root_key")]
    pub struct Model {
        /// Always 1.
        #[sea_orm(primary_key, auto_increment = false)]
        pub one: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Keeps a rotation waiting until `tx` ends.
pub(super) async fn hold(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    let row = row::Entity::find_by_id(1_i64).lock_shared().one(tx).await?;
    row.map(drop).ok_or(StoreError::Absent)
}

/// Waits for all who hold it.
pub(super) async fn wait(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    let row = row::Entity::find_by_id(1_i64)
        .lock_exclusive()
        .one(tx)
        .await?;
    row.map(drop).ok_or(StoreError::Absent)
}
