//! The audit log: chains of entries, one for each organization and one for the installation.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, Rows, big, bytes, maybe_uuid, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No foreign keys: the log outlives what it tells of.
        manager
            .create_table(
                Table::create()
                    .table("audit_event")
                    .col(uuid("organization_id"))
                    .col(big("seq"))
                    .col(uuid("id"))
                    .col(maybe_uuid("workspace_id"))
                    .col(big("at_ms"))
                    .col(maybe_uuid("actor_id"))
                    .col(text("credential"))
                    .col(text("address"))
                    .col(text("request_id"))
                    .col(text("action"))
                    .col(text("object"))
                    .col(text("detail"))
                    .col(bytes("mac"))
                    .primary_key(Index::create().col("organization_id").col("seq"))
                    // What concerns an account of two organizations is told in both chains, as one entry.
                    .index(Index::create().unique().col("organization_id").col("id"))
                    .take(),
            )
            .await?;
        tenant::secure(manager, "audit_event", Rows::Both("workspace_id")).await?;
        tenant::index(manager, "audit_event", &["workspace_id", "seq"]).await?;
        manager
            .create_table(
                Table::create()
                    .table("audit_head")
                    .col(uuid("organization_id").primary_key())
                    .col(big("seq"))
                    .col(bytes("mac"))
                    .take(),
            )
            .await?;
        tenant::secure(manager, "audit_head", Rows::Organization).await?;
        // The installation's own chain.
        let connection = manager.get_connection();
        if connection.get_database_backend()
            == sea_orm_migration::sea_orm::DatabaseBackend::Postgres
        {
            // The owner of the tables is held to their policies too.
            connection
                .execute_unprepared("SELECT set_config('app.system', 'setup', true)")
                .await?;
        }
        let installation = sea_orm_migration::sea_orm::prelude::Uuid::nil();
        manager
            .exec_stmt(
                Query::insert()
                    .into_table("audit_head")
                    .columns(["organization_id", "seq", "mac"])
                    .values_panic([installation.into(), 0i64.into(), vec![0u8; 32].into()])
                    .take(),
            )
            .await
    }
}
