//! The membership table: which role a person has in which workspace.

use sea_orm::entity::prelude::*;

use crate::kernel::{UserId, WorkspaceId};

/// A row of `member`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "member")]
pub struct Model {
    /// The tenant.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workspace_id: WorkspaceId,
    /// The person.
    #[sea_orm(primary_key, auto_increment = false)]
    pub account_id: UserId,
    /// One of the words of [`Role`](super::Role).
    pub role: String,
    /// Since when.
    pub created_at_ms: i64,
}

/// No declared relations: links are made by operations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
