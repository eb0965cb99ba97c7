//! A container stops when its owner may not have it any more: removed from the workspace, or a viewer by now.
//!
//! Read with every look at all containers, so that it needs nobody to tell: what is open ends within a second by
//! [`Standing`](super::super::Standing), and the container within the next look.

use std::collections::HashMap;

use crate::authz::{PermissionId, Role};
use crate::context::Services;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{ContainerId, UserId, WorkspaceId};
use crate::store::StoreError;

use super::super::model::Wanted;
use super::super::store::{self, container};

/// Asks for the end of each running container whose owner may not have it; gives those containers.
///
/// # Errors
/// When the database does not answer.
pub async fn enforce(
    services: &Services,
    rows: &[container::Model],
) -> Result<Vec<ContainerId>, StoreError> {
    let running: Vec<&container::Model> = rows
        .iter()
        .filter(|row| row.wanted() == Wanted::Running)
        .collect();
    if running.is_empty() {
        return Ok(Vec::new());
    }
    let roles: HashMap<(WorkspaceId, UserId), Role> =
        store::roles_of(&services.store, running.iter().map(|row| row.owner_id)).await?;
    let mut ended = Vec::new();
    for row in running {
        let role = roles.get(&(row.workspace_id, row.owner_id));
        if role.is_some_and(|role| role.allows(PermissionId::ContainersUse)) {
            continue;
        }
        // The workspace goes only when its containers are gone.
        let Some(place) = members::find_workspace(services, row.workspace_id).await? else {
            continue;
        };
        let detail = match role {
            Some(role) => format!("{} is {} now", row.owner_id, role.as_str()),
            None => format!("{} is no member any more", row.owner_id),
        };
        let entry = audit::by_server(services, Action::ContainerStopped, row.id, detail);
        if store::stop_for_want_of_right(&services.store, row, place.organization_id, entry).await?
        {
            tracing::info!(container = %row.id, "stopping: its owner may not have it any more");
            ended.push(row.id);
        }
    }
    Ok(ended)
}
