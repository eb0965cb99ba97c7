//! A grant put together from its parts.
use optidev::authz::Role;
use optidev::authz::permission::SecretsReveal;
use optidev::kernel::{OrganizationId, UserId, WorkspaceId};
use optidev::store::Grant;

fn forge(organization: OrganizationId, workspace: WorkspaceId, user: UserId) -> Grant<SecretsReveal> {
    Grant {
        organization, //~ E0451: fields `organization`, `workspace`, `user`, `role` and `permission` of struct `Grant` are private
        workspace,
        user,
        role: Role::Owner,
        permission: std::marker::PhantomData,
    }
}

fn main() {
    let _ = forge;
}
