//! Projects and the containers that members work on them in.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, big, maybe_big, maybe_text, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tenant::create(
            manager,
            "project",
            &["id"],
            vec![
                uuid("id"),
                text("name"),
                text("slug"),
                text("source_kind"),
                maybe_text("source_url"),
                maybe_text("source_branch"),
                maybe_text("object_key"),
                maybe_text("framework"),
                uuid("created_by"),
                big("created_at_ms"),
            ],
            &[&["slug"]],
            &[],
        )
        .await?;
        // Outlives the project: its folder stays in containers, and must never become another project's.
        tenant::create(
            manager,
            "project_slug",
            &["slug"],
            vec![text("slug")],
            &[],
            &[],
        )
        .await?;
        tenant::create_ending(
            manager,
            "container",
            &["id"],
            vec![
                uuid("id"),
                uuid("owner_id"),
                text("wanted"),
                big("generation"),
                text("state"),
                maybe_text("reason"),
                text("steps"),
                big("created_at_ms"),
                maybe_big("started_at_ms"),
                maybe_big("start_duration_ms"),
            ],
            &[&["owner_id"]],
            // No link to the member: a container outlives its owner's membership, until an admin deletes it.
            &[],
            // Its files are outside of the database: only deleting it removes them.
            ForeignKeyAction::Restrict,
        )
        .await
    }
}
