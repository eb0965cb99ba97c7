//! People, what they belong to, and how they sign in.

use sea_orm_migration::prelude::*;

use crate::tenant::{
    self, Rows, big, bytes, maybe_big, maybe_bytes, maybe_text, maybe_uuid, text, uuid,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("organization")
                    .col(uuid("id").primary_key())
                    .col(text("name"))
                    .col(big("created_at_ms"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("workspace")
                    .col(uuid("id").primary_key())
                    .col(uuid("organization_id"))
                    .col(text("name"))
                    .col(bytes("wrapped_key"))
                    .col(big("created_at_ms"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("workspace", "organization_id")
                            .to("organization", "id"),
                    )
                    // What rows that name both refer to, so that they cannot name a pair that does not exist.
                    .index(Index::create().unique().col("id").col("organization_id"))
                    .take(),
            )
            .await?;
        tenant::secure(manager, "organization", Rows::Organizations).await?;
        tenant::secure(manager, "workspace", Rows::Both("id")).await?;
        tenant::index(manager, "workspace", &["organization_id"]).await?;
        manager
            .create_table(
                Table::create()
                    .table("account")
                    .col(uuid("id").primary_key())
                    // `person`, or `service` for an account that only has tokens.
                    .col(text("kind"))
                    .col(maybe_text("email").unique_key())
                    .col(text("name"))
                    .col(text("password_hash"))
                    // The one workspace of a service account, with which it goes.
                    .col(maybe_uuid("home_workspace_id"))
                    .col(maybe_bytes("totp_sealed"))
                    .col(maybe_big("totp_last_step"))
                    .col(big("created_at_ms"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("account", "home_workspace_id")
                            .to("workspace", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        tenant::index(manager, "account", &["home_workspace_id"]).await?;
        manager
            .create_table(
                Table::create()
                    .table("organization_owner")
                    .col(uuid("organization_id"))
                    .col(uuid("account_id"))
                    .col(big("created_at_ms"))
                    .primary_key(Index::create().col("organization_id").col("account_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("organization_owner", "organization_id")
                            .to("organization", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from("organization_owner", "account_id")
                            .to("account", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        tenant::secure(manager, "organization_owner", Rows::Organization).await?;
        tenant::index(manager, "organization_owner", &["account_id"]).await?;
        manager
            .create_table(
                Table::create()
                    .table("login_session")
                    .col(uuid("id").primary_key())
                    .col(uuid("account_id"))
                    .col(bytes("token_hash").unique_key())
                    .col(text("stage"))
                    .col(text("address"))
                    .col(text("user_agent"))
                    .col(big("created_at_ms"))
                    .col(big("last_seen_ms"))
                    .col(big("authenticated_at_ms"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("login_session", "account_id")
                            .to("account", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("api_token")
                    .col(uuid("id").primary_key())
                    .col(uuid("account_id"))
                    .col(text("name"))
                    .col(bytes("token_hash").unique_key())
                    .col(text("scopes"))
                    .col(big("created_at_ms"))
                    .col(maybe_big("expires_at_ms"))
                    .col(maybe_big("last_used_ms"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("api_token", "account_id")
                            .to("account", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("setup_code")
                    .col(bytes("code_hash").primary_key())
                    .col(big("expires_at_ms"))
                    .col(maybe_big("used_at_ms"))
                    .take(),
            )
            .await?;
        tenant::index(manager, "login_session", &["account_id"]).await?;
        tenant::index(manager, "api_token", &["account_id"]).await?;
        manager
            .create_table(
                Table::create()
                    .table("member")
                    .col(uuid("workspace_id"))
                    .col(uuid("account_id"))
                    // Beside the workspace, so that one look-up tells both; the pair must exist.
                    .col(uuid("organization_id"))
                    .col(text("role"))
                    .col(big("created_at_ms"))
                    .primary_key(Index::create().col("workspace_id").col("account_id"))
                    .foreign_key(
                        ForeignKey::create()
                            .from_tbl("member")
                            .from_col("workspace_id")
                            .from_col("organization_id")
                            .to_tbl("workspace")
                            .to_col("id")
                            .to_col("organization_id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from("member", "account_id")
                            .to("account", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        tenant::secure(manager, "member", Rows::Both("workspace_id")).await?;
        tenant::index(manager, "member", &["account_id"]).await
    }
}
