//! How entries are read: by workspace and by organization, and as the API shows them.

use serde::Serialize;

use crate::kernel::{AuditEventId, OrganizationId, UserId, WorkspaceId};
use crate::store::TenantRead;
use crate::store::ledger::{event, head};

/// Names of organizations. `features::members` owns the table and writes entries here, so this module reads for itself.
pub mod organization {
    use sea_orm::entity::prelude::*;

    use crate::kernel::OrganizationId;

    /// The part of a row of `organization` that is read here.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "organization")]
    pub struct Model {
        /// The customer.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: OrganizationId,
        /// Display name.
        pub name: String,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Names of workspaces, as [`organization`].
pub mod workspace {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{OrganizationId, WorkspaceId};

    /// The part of a row of `workspace` that is read here.
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
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl TenantRead<WorkspaceId> for event::Entity {
    fn scope_column() -> event::Column {
        event::Column::WorkspaceId
    }
}

impl TenantRead<OrganizationId> for event::Entity {
    fn scope_column() -> event::Column {
        event::Column::OrganizationId
    }
}

impl TenantRead<OrganizationId> for head::Entity {
    fn scope_column() -> head::Column {
        head::Column::OrganizationId
    }
}

impl TenantRead<OrganizationId> for workspace::Entity {
    fn scope_column() -> workspace::Column {
        workspace::Column::OrganizationId
    }
}

/// Who did it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct EntryActor {
    /// The account; none when it was the server or a command on its machine.
    pub id: Option<UserId>,
    /// Display name as of now.
    pub name: String,
    /// `person`, `service`, `server`, `host`, or `unknown` for an account that is gone.
    pub kind: String,
}

/// An entry of the audit log.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AuditEntry {
    /// Its id.
    pub id: AuditEventId,
    /// Its number in the organization's log, from 1 without a gap.
    pub seq: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// When (RFC 3339).
    pub at: String,
    /// Who.
    pub actor: EntryActor,
    /// The id of the session or token, or `none`, `server`, `host`.
    pub credential: String,
    /// Network address, empty for the server's own acts.
    pub address: String,
    /// The request's id, as in problems and in the server's log.
    pub request_id: String,
    /// In which workspace, unless it concerns the organization or an account.
    pub workspace: Option<WorkspaceId>,
    /// `feature.verb`.
    pub action: String,
    /// What the action means, for people.
    pub about: String,
    /// An id or a name.
    pub object: String,
    /// A few words.
    pub detail: String,
    /// The entry's MAC in hexadecimal digits: over its content and the MAC before it.
    pub mac: String,
}
