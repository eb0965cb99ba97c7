//! What can be done with containers: say what is wanted, look, enter.

use std::sync::Arc;

use sea_orm::ActiveValue::Set;

use super::choice::Choice;
use super::controller::Controller;
use super::model::{Container, Identity, Owner, Wanted};
use super::runtime;
use super::store::{self, container};
use crate::authz::permission::{ContainersManage, ContainersRead, ContainersUse};
use crate::clients::agent::Agent;
use crate::config::RuntimeKind;
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::kernel::{Code, ContainerId, Problem, UserId, WorkspaceId};
use crate::store::{Grant, StoreError};

/// How often a change is decided anew because another request was faster.
const TRIES: usize = 5;

/// A container whose owner is the caller, and its agent: everything inside is reached with this.
pub struct Entered {
    /// Proof that the caller may have a container here.
    pub grant: Grant<ContainersUse>,
    /// Whose it is: the caller's.
    pub identity: Identity,
    /// What talks to it.
    pub agent: Agent,
}

/// All containers of the workspace.
///
/// # Errors
/// 404, 403.
pub async fn list(
    ctx: &Ctx,
    controller: &Controller,
    workspace: WorkspaceId,
) -> Result<Vec<Container>, Problem> {
    let grant = ctx.authorize::<ContainersRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let mut rows = store::list(&tx).await?;
    drop(tx);
    rows.retain(|row| row.wanted() != Wanted::Deleted);
    let owners: Vec<UserId> = rows.iter().map(|row| row.owner_id).collect();
    let names = store::owner_names(&ctx.services.store, &owners).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let name = names
                .iter()
                .find(|(id, _)| *id == row.owner_id)
                .map(|(_, name)| name.clone());
            let owner = Owner {
                id: row.owner_id,
                name: name.unwrap_or_default(),
            };
            let chosen = (row.class.clone(), row.image.clone());
            let observed = controller.observed(row);
            Container::view(row.id, owner, ctx.actor.user(), observed, chosen)
        })
        .collect())
}

/// One container, with its row for following it.
///
/// # Errors
/// 404, 403.
pub async fn get(
    ctx: &Ctx,
    controller: &Controller,
    workspace: WorkspaceId,
    id: ContainerId,
) -> Result<(Container, container::Model), Problem> {
    let grant = ctx.authorize::<ContainersRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let row = store::find(&tx, id)
        .await?
        .filter(|row| row.wanted() != Wanted::Deleted);
    drop(tx);
    let row = row.ok_or_else(Problem::not_found)?;
    Ok((view(ctx, controller, &row).await?, row))
}

/// The caller's own container, made when there is none, and wanted running, with what they choose of it.
///
/// # Errors
/// 404, 403; `conflict` while an earlier one is being deleted, and where nothing runs containers.
pub async fn create(
    ctx: &Ctx,
    controller: &Arc<Controller>,
    workspace: WorkspaceId,
    choice: &Choice,
) -> Result<Container, Problem> {
    let grant = ctx.authorize::<ContainersUse>(workspace).await?;
    require_runtime(ctx)?;
    choice.check(&ctx.services.config)?;
    for _ in 0..TRIES {
        if let Some(row) = try_create(ctx, controller, &grant, choice).await? {
            controller.wake(&row);
            return Ok(view(ctx, controller, &row).await?);
        }
    }
    Err(overtaken())
}

/// Nobody is promised what nothing here will do.
fn require_runtime(ctx: &Ctx) -> Result<(), Problem> {
    match ctx.services.config.runtime.kind {
        RuntimeKind::Local | RuntimeKind::Kubernetes => Ok(()),
        RuntimeKind::None => Err(Problem::new(Code::Conflict, runtime::MISSING)),
    }
}

/// `None` when somebody was faster: look again.
async fn try_create(
    ctx: &Ctx,
    controller: &Controller,
    grant: &Grant<ContainersUse>,
    choice: &Choice,
) -> Result<Option<container::Model>, Problem> {
    let tx = ctx.services.store.scoped(grant).await?;
    let (row, action) = match store::find_of(&tx, grant.user()).await? {
        Some(row) if row.wanted() == Wanted::Deleted => return Err(being_deleted()),
        Some(row) if is_on_its_way(controller, &row) => {
            let asked = choice.over(&row);
            if asked != (row.class.clone(), row.image.clone()) {
                return Err(Problem::new(
                    Code::Conflict,
                    "The container runs. Stop it first, to start it with another class or image.",
                ));
            }
            return Ok(Some(row));
        }
        Some(row) => {
            let (class, image) = choice.over(&row);
            match store::want_with(&tx, &row, class, image).await? {
                Some(row) => (row, Action::ContainerStart),
                None => return Ok(None),
            }
        }
        None => {
            let identity = Identity {
                workspace: grant.workspace(),
                container: ContainerId::new(&ctx.services.clock, &ctx.services.rng),
                owner: grant.user(),
            };
            let new = container::ActiveModel {
                class: Set(choice.class.clone()),
                image: Set(choice.image.clone()),
                ..store::new_row(identity, ctx.now_ms())
            };
            match tx.insert::<container::Entity, _>(new).await {
                Ok(row) => (row, Action::ContainerCreate),
                // The caller's other request made it. This transaction has failed, so it cannot look itself.
                Err(StoreError::Duplicate) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    };
    tx.commit(audit::entry(ctx, action, row.id, "")).await?;
    Ok(Some(row))
}

/// Asks for the caller's container to run. Asking again after a failure is a new try.
///
/// # Errors
/// 404 for a container of somebody else, too: only its owner starts it; `conflict` where nothing runs containers.
pub async fn start(
    ctx: &Ctx,
    controller: &Arc<Controller>,
    workspace: WorkspaceId,
    id: ContainerId,
) -> Result<Container, Problem> {
    let grant = ctx.authorize::<ContainersUse>(workspace).await?;
    require_runtime(ctx)?;
    for _ in 0..TRIES {
        let tx = ctx.services.store.scoped(&grant).await?;
        let row = own(store::find(&tx, id).await?, grant.user())?;
        let row = if is_on_its_way(controller, &row) {
            row
        } else {
            let Some(row) = store::want(&tx, &row, Wanted::Running).await? else {
                continue;
            };
            tx.commit(audit::entry(ctx, Action::ContainerStart, id, ""))
                .await?;
            row
        };
        controller.wake(&row);
        return Ok(view(ctx, controller, &row).await?);
    }
    Err(overtaken())
}

/// Asks for a container to stop: one's own, or with `ContainersManage` anybody's.
///
/// # Errors
/// 404, 403.
pub async fn stop(
    ctx: &Ctx,
    controller: &Arc<Controller>,
    workspace: WorkspaceId,
    id: ContainerId,
) -> Result<Container, Problem> {
    let row = end(ctx, workspace, id, Wanted::Stopped, Action::ContainerStop).await?;
    controller.wake(&row);
    Ok(view(ctx, controller, &row).await?)
}

/// Deletes a container with its files: one's own, or with `ContainersManage` anybody's.
///
/// # Errors
/// 404, 403.
pub async fn delete(
    ctx: &Ctx,
    controller: &Arc<Controller>,
    workspace: WorkspaceId,
    id: ContainerId,
) -> Result<(), Problem> {
    let row = end(ctx, workspace, id, Wanted::Deleted, Action::ContainerDelete).await?;
    controller.wake(&row);
    Ok(())
}

/// What somebody enters a container for: asked for by [`enter`], so that no access goes unrecorded.
pub enum Access {
    /// To look; recorded once in a while.
    Look,
    /// To act: recorded each time, with a few words.
    Act(Action, String),
    /// For an act that writes an entry of its own.
    Recorded,
}

/// The caller's own running container. Everybody else is told that it is absent, whatever their role.
///
/// # Errors
/// 404; `conflict` when it does not run.
pub async fn enter(
    ctx: &Ctx,
    controller: &Controller,
    workspace: WorkspaceId,
    id: ContainerId,
    access: Access,
) -> Result<Entered, Problem> {
    let grant = ctx.authorize::<ContainersUse>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let row = own(store::find(&tx, id).await?, grant.user())?;
    drop(tx);
    let agent = controller.agent_of(&row).await?;
    match access {
        Access::Look => {
            let lately = &controller.lately;
            lately.note(ctx, &grant, Action::ContainerRead, id).await?;
        }
        Access::Act(action, detail) => audit::note(ctx, &grant, action, id, detail).await?,
        Access::Recorded => {}
    }
    Ok(Entered {
        identity: row.identity(),
        grant,
        agent,
    })
}

async fn end(
    ctx: &Ctx,
    workspace: WorkspaceId,
    id: ContainerId,
    wanted: Wanted,
    action: Action,
) -> Result<container::Model, Problem> {
    let grant = ctx.authorize::<ContainersUse>(workspace).await?;
    let row = {
        let tx = ctx.services.store.scoped_read(&grant).await?;
        store::find(&tx, id)
            .await?
            .filter(|row| row.wanted() != Wanted::Deleted)
            .ok_or_else(Problem::not_found)?
    };
    let tx = if row.owner_id == grant.user() {
        ctx.services.store.scoped(&grant).await?
    } else {
        // Somebody else's: an admin may end it. Others know of it from the list, and are told that their role does not
        // allow it.
        ctx.services
            .store
            .scoped(&ctx.authorize::<ContainersManage>(workspace).await?)
            .await?
    };
    for _ in 0..TRIES {
        let row = store::find(&tx, id)
            .await?
            .filter(|row| row.wanted() != Wanted::Deleted)
            .ok_or_else(Problem::not_found)?;
        if let Some(row) = store::want(&tx, &row, wanted).await? {
            let whose = if row.owner_id == grant.user() {
                String::new()
            } else {
                format!("of {}", row.owner_id)
            };
            tx.commit(audit::entry(ctx, action, id, whose)).await?;
            return Ok(row);
        }
    }
    Err(overtaken())
}

fn is_on_its_way(controller: &Controller, row: &container::Model) -> bool {
    row.wanted() == Wanted::Running && controller.observed(row).state.is_on_its_way()
}

fn own(row: Option<container::Model>, user: UserId) -> Result<container::Model, Problem> {
    row.filter(|row| row.owner_id == user && row.wanted() != Wanted::Deleted)
        .ok_or_else(Problem::not_found)
}

async fn view(
    ctx: &Ctx,
    controller: &Controller,
    row: &container::Model,
) -> Result<Container, StoreError> {
    let name = if row.owner_id == ctx.actor.user() {
        ctx.actor.name().to_owned()
    } else {
        let names = store::owner_names(&ctx.services.store, &[row.owner_id]).await?;
        names
            .into_iter()
            .next()
            .map(|(_, name)| name)
            .unwrap_or_default()
    };
    let owner = Owner {
        id: row.owner_id,
        name,
    };
    Ok(Container::view(
        row.id,
        owner,
        ctx.actor.user(),
        controller.observed(row),
        (row.class.clone(), row.image.clone()),
    ))
}

fn overtaken() -> Problem {
    Problem::new(
        Code::Conflict,
        "This container was changed by another request again and again just now. Try again.",
    )
}

fn being_deleted() -> Problem {
    Problem::new(
        Code::Conflict,
        "Your earlier container is still being deleted. Try again in a few seconds.",
    )
}
