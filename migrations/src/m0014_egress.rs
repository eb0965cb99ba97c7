//! What an organization allows its workspaces to reach at most, and what a workspace adds to the installation's allow-list.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, Rows, big, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("egress_ceiling")
                    .col(uuid("organization_id").primary_key())
                    .col(text("hosts"))
                    .col(uuid("changed_by"))
                    .col(big("changed_at_ms"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("egress_ceiling", "organization_id")
                            .to("organization", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        tenant::secure(manager, "egress_ceiling", Rows::Organization).await?;
        // One row for each workspace.
        tenant::create(
            manager,
            "egress_addition",
            &[],
            vec![text("hosts"), uuid("changed_by"), big("changed_at_ms")],
            &[],
            &[],
        )
        .await
    }
}
