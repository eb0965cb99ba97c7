//! The rows of organizations and workspaces, and a membership as others see it.

use serde::Serialize;

use crate::authz::Role;
use crate::kernel::{InvitationId, OrganizationId, UserId, WorkspaceId};

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

/// A member as other members see them.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Member {
    /// The account.
    pub id: UserId,
    /// Display name.
    pub name: String,
    /// Address; only for those who manage members, and for oneself.
    pub email: Option<String>,
    /// Whether it is a service account.
    pub service: bool,
    /// What they may do.
    pub role: Role,
    /// Whether it is the one who asks.
    pub you: bool,
    /// Since when, milliseconds since the epoch.
    pub since_ms: i64,
}

/// A workspace by itself.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct WorkspaceItem {
    /// Its id.
    pub id: WorkspaceId,
    /// Display name.
    pub name: String,
    /// Its organization.
    pub organization_id: OrganizationId,
    /// Since when, milliseconds since the epoch.
    pub created_at_ms: i64,
}

impl From<workspace::Model> for WorkspaceItem {
    fn from(row: workspace::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            organization_id: row.organization_id,
            created_at_ms: row.created_at_ms,
        }
    }
}

/// An organization that somebody owns, or belongs to by a workspace.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OrganizationItem {
    /// Its id.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Whether the one who asks is an owner of it.
    pub owner: bool,
}

/// Somebody in an organization, as its owners see them.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct OrganizationPerson {
    /// The account.
    pub id: UserId,
    /// Display name.
    pub name: String,
    /// Address; service accounts have none.
    pub email: Option<String>,
    /// Whether it is a service account.
    pub service: bool,
    /// Whether they are an owner of the organization.
    pub owner: bool,
    /// Where they are members, and with which role.
    pub workspaces: Vec<PlaceRef>,
}

/// A membership in an organization's list of people.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct PlaceRef {
    /// The workspace.
    pub id: WorkspaceId,
    /// The role there.
    pub role: Role,
}

/// Invitations.
pub mod invitation {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{InvitationId, UserId, WorkspaceId};

    /// A row of `invitation`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "invitation")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// Its id; not the link.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: InvitationId,
        /// Who is invited, in lower case.
        pub email: String,
        /// A word of `Role`.
        pub role: String,
        /// The vault's MAC of what is in the link.
        pub token_hash: Vec<u8>,
        /// Who invited.
        pub invited_by: UserId,
        /// When.
        pub created_at_ms: i64,
        /// Until when the link works.
        pub expires_at_ms: i64,
        /// When it was used.
        pub accepted_at_ms: Option<i64>,
        /// By whom.
        pub accepted_by: Option<UserId>,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(invitation);

/// An open invitation.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Who is invited.
    pub email: String,
    /// What they are to be.
    pub role: Role,
    /// Who invited them.
    pub invited_by: UserId,
    /// When, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// Until when the link works, milliseconds since the epoch.
    pub expires_at_ms: i64,
    /// Whether it has ended.
    pub expired: bool,
}

/// A new invitation, and how its link gets to whom it is for.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct InvitationLink {
    /// The invitation.
    pub invitation: Invitation,
    /// Whether a mail is on its way.
    pub sent: bool,
    /// The link to hand over, when no mail was sent. Shown this once.
    pub link: Option<String>,
    /// Why a mail could not be sent, when it should have been.
    pub notice: Option<String>,
}
