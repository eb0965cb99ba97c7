//! Where an organization has its audit log carried to.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, Rows, big, flag, maybe_big, maybe_bytes, maybe_text, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("audit_sink")
                    .col(uuid("organization_id"))
                    .col(uuid("id"))
                    .col(text("name"))
                    .col(text("target"))
                    .col(maybe_bytes("sealed_secret"))
                    .col(flag("enabled"))
                    .col(big("next_seq"))
                    .col(big("batch_end"))
                    .col(maybe_text("last_error"))
                    .col(maybe_big("last_error_ms"))
                    .col(maybe_big("last_delivered_ms"))
                    .col(uuid("created_by"))
                    .col(big("created_at_ms"))
                    .primary_key(Index::create().col("organization_id").col("id"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("audit_sink", "organization_id")
                            .to("organization", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        tenant::secure(manager, "audit_sink", Rows::Organization).await
    }
}
