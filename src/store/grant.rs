//! Proof that somebody may do one kind of thing in one workspace, or look after one organization.

use std::marker::PhantomData;

use crate::authz::{MintKey, PermissionId, Role};
use crate::kernel::{OrganizationId, UserId, WorkspaceId};

/// One kind of act, as a type: an operation that asks for `Grant<SecretsReveal>` does not compile with another.
pub trait Permission: Send + Sync + 'static {
    /// The row of the permission table.
    const ID: PermissionId;
}

/// A user may do `P` in a workspace, as of this request. Not serializable, never cloned, lives for one request.
pub struct Grant<P> {
    organization: OrganizationId,
    workspace: WorkspaceId,
    user: UserId,
    role: Role,
    permission: PhantomData<fn() -> P>,
}

impl<P: Permission> Grant<P> {
    /// Makes a grant; only `authz` has the key.
    pub fn mint(
        _: MintKey,
        organization: OrganizationId,
        workspace: WorkspaceId,
        user: UserId,
        role: Role,
    ) -> Self {
        Self {
            organization,
            workspace,
            user,
            role,
            permission: PhantomData,
        }
    }

    /// The workspace's organization.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// The workspace that the grant is for.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Who may act.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The role that the permission came from.
    pub fn role(&self) -> Role {
        self.role
    }
}

/// A user looks after an organization, as of this request: one of its owners. Gives no right inside a workspace.
pub struct OrganizationGrant {
    organization: OrganizationId,
    user: UserId,
}

impl OrganizationGrant {
    /// Makes a grant; only `authz` has the key.
    pub fn mint(_: MintKey, organization: OrganizationId, user: UserId) -> Self {
        Self { organization, user }
    }

    /// The organization that the grant is for.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Who may act.
    pub fn user(&self) -> UserId {
        self.user
    }
}
