//! How a secret is given to containers, and what each container was given last.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, Link, big, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut form = text("delivered_as");
        form.default("environment");
        manager
            .alter_table(Table::alter().table("secret").add_column(form).take())
            .await?;
        // Goes with its container.
        tenant::create(
            manager,
            "secret_delivery",
            &["container_id"],
            vec![uuid("container_id"), text("given"), big("delivered_at_ms")],
            &[],
            &[Link {
                columns: &["workspace_id", "container_id"],
                table: "container",
                to: &["workspace_id", "id"],
            }],
        )
        .await
    }
}
