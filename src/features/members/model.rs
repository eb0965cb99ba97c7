//! The rows of organizations and workspaces, and a membership as others see it.

use serde::Serialize;

use crate::authz::Role;
use crate::kernel::{OrganizationId, WorkspaceId};

/// Customers.
pub mod organization {
    use sea_orm::entity::prelude::*;

    use crate::kernel::OrganizationId;

    /// A row of `organization`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "organization")]
    pub struct Model {
        /// The customer.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: OrganizationId,
        /// Display name.
        pub name: String,
        /// Since when.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Tenants.
pub mod workspace {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{OrganizationId, WorkspaceId};

    /// A row of `workspace`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "workspace")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: WorkspaceId,
        /// Its customer.
        pub organization_id: OrganizationId,
        /// Display name.
        pub name: String,
        /// The workspace's key as the vault wrapped it; without it no secret of the workspace opens again.
        pub wrapped_key: Vec<u8>,
        /// Since when.
        pub created_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::scoped_entity!(organization, OrganizationId, Id, id);
crate::scoped_entity!(workspace, WorkspaceId, Id, id);
crate::organization_entity!(workspace);

/// An organization by name.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OrganizationRef {
    /// Its id.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
}

/// A workspace that somebody belongs to.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Membership {
    /// The workspace.
    pub id: WorkspaceId,
    /// Display name.
    pub name: String,
    /// The person's role there.
    pub role: Role,
    /// The workspace's organization.
    pub organization: OrganizationRef,
}
