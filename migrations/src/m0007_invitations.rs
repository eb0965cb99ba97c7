//! Invitations into workspaces.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, big, bytes, maybe_big, maybe_uuid, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tenant::create(
            manager,
            "invitation",
            &["id"],
            vec![
                uuid("id"),
                text("email"),
                text("role"),
                bytes("token_hash"),
                uuid("invited_by"),
                big("created_at_ms"),
                big("expires_at_ms"),
                maybe_big("accepted_at_ms"),
                maybe_uuid("accepted_by"),
            ],
            &[&["email"], &["token_hash"]],
            &[],
        )
        .await?;
        // Whoever shows a link has no workspace yet.
        tenant::index(manager, "invitation", &["token_hash"]).await
    }
}
