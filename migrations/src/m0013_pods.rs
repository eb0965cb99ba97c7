//! Containers as pods: what the servers want of each and what the controller observed; the proof of isolation on demand; the
//! authority of agents' certificates; who of several servers leads.

use sea_orm_migration::prelude::*;

use crate::tenant::{self, Link, big, flag, maybe_big, maybe_bytes, maybe_text, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in ["class", "image"] {
            manager
                .alter_table(
                    Table::alter()
                        .table("container")
                        .add_column(maybe_text(name))
                        .take(),
                )
                .await?;
        }
        // Goes with its container; what the cluster holds of it is then found by its labels.
        tenant::create(
            manager,
            "pod",
            &["container_id"],
            vec![
                uuid("container_id"),
                uuid("owner_id"),
                text("wanted"),
                text("class"),
                text("image"),
                big("asked"),
                big("asked_at_ms"),
                big("changed"),
                maybe_text("boot_id"),
                big("seen"),
                big("attempt"),
                big("attempt_for"),
                maybe_bytes("token_digest"),
                maybe_bytes("csr_digest"),
                maybe_big("enrolled_at_ms"),
                text("phase"),
                maybe_text("step"),
                maybe_text("ip"),
                maybe_text("pod_uid"),
                maybe_text("reason"),
                flag("permanent"),
                flag("out_of_memory"),
                flag("freed"),
                big("observed_at_ms"),
            ],
            &[],
            &[Link {
                columns: &["workspace_id", "container_id"],
                table: "container",
                to: &["workspace_id", "id"],
            }],
        )
        .await?;
        manager
            .create_table(
                Table::create()
                    .table("isolation_proof")
                    .col(big("one").primary_key())
                    .col(big("asked_at_ms"))
                    .col(big("checked_at_ms"))
                    .col(flag("proven"))
                    .col(text("enforcer"))
                    .col(text("found"))
                    .take(),
            )
            .await?;
        manager
            .exec_stmt(
                Query::insert()
                    .into_table("isolation_proof")
                    .columns([
                        "one",
                        "asked_at_ms",
                        "checked_at_ms",
                        "proven",
                        "enforcer",
                        "found",
                    ])
                    .values_panic([
                        1_i64.into(),
                        0_i64.into(),
                        0_i64.into(),
                        false.into(),
                        "".into(),
                        "".into(),
                    ])
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("authority")
                    .col(big("one").primary_key())
                    .col(text("certificate"))
                    .col(big("created_at_ms"))
                    .take(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("leader")
                    .col(text("name").primary_key())
                    .col(text("holder"))
                    .col(big("renewals"))
                    .take(),
            )
            .await
    }
}
