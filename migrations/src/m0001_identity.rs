//! People, what they belong to, and how they sign in.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, big, bytes, maybe_big, maybe_bytes, text, uuid};

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
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("account")
                    .col(uuid("id").primary_key())
                    .col(text("email").unique_key())
                    .col(text("name"))
                    .col(text("password_hash"))
                    .col(maybe_bytes("totp_sealed"))
                    .col(maybe_big("totp_last_step"))
                    .col(big("created_at_ms"))
                    .take(),
            )
            .await?;
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
        tenant::create(
            manager,
            "member",
            &["account_id"],
            vec![uuid("account_id"), text("role"), big("created_at_ms")],
            &[],
            &[tenant::Link {
                columns: &["account_id"],
                table: "account",
                to: &["id"],
            }],
        )
        .await?;
        tenant::create(
            manager,
            "audit_event",
            &["id"],
            vec![
                uuid("id"),
                big("at_ms"),
                uuid("actor_id"),
                text("credential"),
                text("address"),
                text("action"),
                text("object"),
                text("detail"),
            ],
            &[],
            &[],
        )
        .await
    }
}
