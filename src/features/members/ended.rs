//! What follows when somebody's rights in a workspace change.

use crate::context::Services;
use crate::kernel::{UserId, WorkspaceId};
use crate::shared::Subject;

/// Tells everything that rests on the rights of `user` in `workspace` to look again: what is open on any replica ends
/// within a second, and the controller stops a container that its owner may not have any more.
pub fn announce(services: &Services, workspace: WorkspaceId, user: UserId) {
    tracing::debug!(%workspace, %user, "rights changed");
    services.changed(Subject::Account(user));
}
