//! The assistant's sessions: what was said, what a page replays, and what a turn can be undone to.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, Link, big, flag, maybe_bytes, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tenant::create(
            manager,
            "assistant_session",
            &["id"],
            vec![
                uuid("id"),
                uuid("owner_id"),
                uuid("project_id"),
                uuid("container_id"),
                text("title"),
                text("allowed_tools"),
                big("created_at_ms"),
            ],
            &[],
            &[
                Link {
                    columns: &["workspace_id", "project_id"],
                    table: "project",
                    to: &["workspace_id", "id"],
                },
                Link {
                    columns: &["workspace_id", "container_id"],
                    table: "container",
                    to: &["workspace_id", "id"],
                },
            ],
        )
        .await?;
        let to_session = || Link {
            columns: &["workspace_id", "session_id"],
            table: "assistant_session",
            to: &["workspace_id", "id"],
        };
        tenant::create(
            manager,
            "assistant_message",
            &["session_id", "position"],
            vec![
                uuid("session_id"),
                big("position"),
                uuid("turn_id"),
                text("role"),
                text("content"),
            ],
            &[],
            &[to_session()],
        )
        .await?;
        tenant::create(
            manager,
            "assistant_event",
            &["session_id", "sequence"],
            vec![
                uuid("session_id"),
                big("sequence"),
                big("at_ms"),
                text("body"),
            ],
            &[],
            &[to_session()],
        )
        .await?;
        tenant::create(
            manager,
            "assistant_checkpoint",
            &["id"],
            vec![
                uuid("id"),
                uuid("session_id"),
                uuid("turn_id"),
                text("path"),
                flag("existed"),
                maybe_bytes("content"),
                text("etag_after"),
            ],
            &[&["session_id", "turn_id", "path"]],
            &[to_session()],
        )
        .await
    }
}
