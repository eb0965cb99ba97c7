//! The rows of ceilings and additions, and the shapes of the API.

use serde::{Deserialize, Serialize};

/// What organizations allow at most.
pub mod ceiling {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{OrganizationId, UserId};

    /// A row of `egress_ceiling`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "egress_ceiling")]
    pub struct Model {
        /// Whose ceiling.
        #[sea_orm(primary_key, auto_increment = false)]
        pub organization_id: OrganizationId,
        /// A JSON array of entries; an empty one is no ceiling.
        pub hosts: String,
        /// Who set it.
        pub changed_by: UserId,
        /// When.
        pub changed_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What workspaces add.
pub mod addition {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{UserId, WorkspaceId};

    /// A row of `egress_addition`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "egress_addition")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// A JSON array of entries.
        pub hosts: String,
        /// Who set them.
        pub changed_by: UserId,
        /// When.
        pub changed_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::organization_entity!(ceiling);
crate::tenant_entity!(addition);

/// What an organization's workspaces may reach at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OrganizationEgress {
    /// The ceiling: `host`, `host:port` or `*.suffix`. Empty: there is none.
    pub ceiling: Vec<String>,
    /// What the installation allows; a ceiling does not add to it.
    pub installation: Vec<String>,
}

/// What a workspace's containers may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct WorkspaceEgress {
    /// What the workspace adds to the installation's list.
    pub additions: Vec<String>,
    /// Whether the operator takes additions. Without, those there are open nothing.
    pub additions_taken: bool,
    /// Additions that the organization's ceiling keeps closed, wholly or at one of their ports.
    pub beyond_ceiling: Vec<String>,
    /// What the organization allows at most. Empty: it set no ceiling.
    pub ceiling: Vec<String>,
    /// What the installation allows.
    pub installation: Vec<String>,
}

/// A new ceiling.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCeiling {
    /// All its entries; none takes it away.
    #[schema(max_items = 100)]
    pub ceiling: Vec<String>,
}

/// New additions.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdditions {
    /// All of them; what is not among them is no longer added.
    #[schema(max_items = 100)]
    pub additions: Vec<String>,
}
