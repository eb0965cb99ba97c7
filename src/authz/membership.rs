//! Who belongs where: members of workspaces with their roles, and owners of organizations.

use sea_orm::entity::prelude::*;

use crate::kernel::{OrganizationId, UserId, WorkspaceId};

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
    /// The workspace's organization.
    pub organization_id: OrganizationId,
    /// One of the words of [`Role`](super::Role).
    pub role: String,
    /// Since when.
    pub created_at_ms: i64,
}

/// No declared relations: links are made by operations.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Owners of organizations.
pub mod organization_owner {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{OrganizationId, UserId};

    /// A row of `organization_owner`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "organization_owner")]
    pub struct Model {
        /// The organization.
        #[sea_orm(primary_key, auto_increment = false)]
        pub organization_id: OrganizationId,
        /// The person.
        #[sea_orm(primary_key, auto_increment = false)]
        pub account_id: UserId,
        /// Since when.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::organization_entity!(organization_owner);

impl crate::store::TenantRead<WorkspaceId> for Entity {
    fn scope_column() -> Column {
        Column::WorkspaceId
    }
}

impl crate::store::Tenant<WorkspaceId> for Entity {
    fn set_scope(model: &mut ActiveModel, workspace: WorkspaceId) {
        model.workspace_id = sea_orm::ActiveValue::Set(workspace);
    }
}

/// An organization's owners see who belongs to its workspaces.
impl crate::store::TenantRead<OrganizationId> for Entity {
    fn scope_column() -> Column {
        Column::OrganizationId
    }
}
