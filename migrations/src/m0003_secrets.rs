//! Secrets: names and tiers in one table, sealed versions in another.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, Link, big, bytes, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tenant::create(
            manager,
            "secret",
            &["id"],
            vec![
                uuid("id"),
                text("name"),
                text("tier"),
                text("description"),
                big("version"),
                uuid("created_by"),
                big("created_at_ms"),
                uuid("updated_by"),
                big("updated_at_ms"),
            ],
            &[&["name"]],
            &[],
        )
        .await?;
        tenant::create(
            manager,
            "secret_version",
            &["secret_id", "version"],
            vec![
                uuid("secret_id"),
                big("version"),
                text("tier"),
                bytes("sealed"),
                uuid("created_by"),
                big("created_at_ms"),
            ],
            &[],
            &[Link {
                columns: &["workspace_id", "secret_id"],
                table: "secret",
                to: &["workspace_id", "id"],
            }],
        )
        .await
    }
}
