//! The proof of isolation between pods, as people see it.

use serde::Serialize;

use super::pods::{self, Proof};
use crate::authz::permission::{ContainersManage, ContainersRead};
use crate::config::RuntimeKind;
use crate::context::Ctx;
use crate::kernel::{Code, Problem, WorkspaceId};

/// What is known of the isolation between containers.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Isolation {
    /// The last proof between pods; none before the first, and where containers do not run in pods: there each start is
    /// proven by itself.
    pub proof: Option<Proof>,
}

/// The last proof.
///
/// # Errors
/// 404, 403.
pub async fn read(ctx: &Ctx, workspace: WorkspaceId) -> Result<Isolation, Problem> {
    ctx.authorize::<ContainersRead>(workspace).await?;
    let pods = ctx.services.config.runtime.kind == RuntimeKind::Kubernetes;
    Ok(Isolation {
        proof: if pods {
            pods::last_proof(&ctx.services.store).await?
        } else {
            None
        },
    })
}

/// Asks for a proof now. It takes about half a minute.
///
/// # Errors
/// 404, 403; `conflict` where containers do not run in pods.
pub async fn ask(ctx: &Ctx, workspace: WorkspaceId) -> Result<(), Problem> {
    ctx.authorize::<ContainersManage>(workspace).await?;
    if ctx.services.config.runtime.kind != RuntimeKind::Kubernetes {
        return Err(Problem::new(
            Code::Conflict,
            "Containers of this installation do not run in pods: each start proves its isolation by itself, and shows it \
             among its steps.",
        ));
    }
    Ok(pods::ask_for_proof(&ctx.services.store, ctx.now_ms()).await?)
}
