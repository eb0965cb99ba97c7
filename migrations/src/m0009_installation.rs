//! Which master secret this database belongs to.

use sea_orm_migration::prelude::*;

use crate::tenant::{big, bytes};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("installation")
                    // Always 1: of two servers that start at once, one writes it and the other compares.
                    .col(big("one").primary_key())
                    .col(bytes("install_id"))
                    .col(big("created_at_ms"))
                    .take(),
            )
            .await
    }
}
