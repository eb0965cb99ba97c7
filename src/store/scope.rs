//! What rows can belong to: a workspace, or an organization.

use crate::kernel::{OrganizationId, WorkspaceId};

/// The id of something that owns rows.
pub trait ScopeId: Copy + Send + Sync + Into<sea_orm::Value> + 'static + sealed::Sealed {}

impl ScopeId for WorkspaceId {}
impl ScopeId for OrganizationId {}

mod sealed {
    /// Keeps the list of scopes closed.
    pub trait Sealed {}
    impl Sealed for crate::kernel::WorkspaceId {}
    impl Sealed for crate::kernel::OrganizationId {}
}

/// Where a transaction stands: PostgreSQL is told at its begin, and its policies hold rows against it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub organization: OrganizationId,
    pub workspace: Option<WorkspaceId>,
}
