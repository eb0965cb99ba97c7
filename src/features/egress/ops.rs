//! What a container's owner may see of egress.

use super::decision::Decision;
use super::proxy::Egress;
use crate::authz::permission::ContainersUse;
use crate::context::Ctx;
use crate::features::containers::{self, Controller};
use crate::kernel::{ContainerId, Problem, WorkspaceId};

/// The last decisions about the caller's own container at whichever replica, newest first.
///
/// # Errors
/// 404 for the container of somebody else, whatever the caller's role.
pub async fn decisions(
    ctx: &Ctx,
    egress: &Egress,
    controller: &Controller,
    workspace: WorkspaceId,
    container: ContainerId,
) -> Result<Vec<Decision>, Problem> {
    ctx.authorize::<ContainersUse>(workspace).await?;
    let visible = containers::list(ctx, controller, workspace).await?;
    if visible.iter().any(|one| one.id == container && one.mine) {
        Ok(egress.decisions(container).await)
    } else {
        Err(Problem::not_found())
    }
}
