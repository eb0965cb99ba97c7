//! Credentials of the installation, sealed by the vault, and the row that a rotation of its master locks.

use sea_orm_migration::prelude::*;

use crate::tenant::{big, bytes, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("system_credential")
                    .col(text("purpose"))
                    .col(text("name"))
                    .col(bytes("sealed"))
                    .col(big("updated_at_ms"))
                    .primary_key(Index::create().col("purpose").col("name"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("root_key")
                    .col(big("one").primary_key())
                    .take(),
            )
            .await?;
        manager
            .exec_stmt(
                Query::insert()
                    .into_table("root_key")
                    .columns(["one"])
                    .values_panic([1_i64.into()])
                    .take(),
            )
            .await
    }
}
