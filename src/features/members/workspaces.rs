//! One workspace: its name, and its end.

use sea_orm::ActiveValue::Set;

use super::model::{WorkspaceItem, workspace};
use super::{ended, ops, standing};
use crate::authz::membership;
use crate::authz::permission::{WorkspaceDelete, WorkspaceManage, WorkspaceRead};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::kernel::{Code, Problem, WorkspaceId};
use crate::store::StoreError;

/// One workspace.
///
/// # Errors
/// 404.
pub async fn get(ctx: &Ctx, id: WorkspaceId) -> Result<WorkspaceItem, Problem> {
    let grant = ctx.authorize::<WorkspaceRead>(id).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let row = tx.find::<workspace::Entity>().one().await?;
    Ok(row.ok_or_else(Problem::not_found)?.into())
}

/// Changes the name.
///
/// # Errors
/// 404, 403; `unprocessable` for the name.
pub async fn rename(ctx: &Ctx, id: WorkspaceId, name: &str) -> Result<WorkspaceItem, Problem> {
    let grant = ctx.authorize::<WorkspaceManage>(id).await?;
    ops::check_name(name)?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let row = tx
        .update(workspace::ActiveModel {
            id: Set(id),
            name: Set(name.trim().to_owned()),
            ..Default::default()
        })
        .await?;
    let entry = audit::entry(ctx, Action::WorkspaceUpdate, id, "name");
    tx.commit(entry).await?;
    Ok(row.into())
}

/// Deletes the workspace with all that it holds. Its wrapped key goes with it, so that no copy of its secrets opens again.
///
/// # Errors
/// 404, 403; `reauthentication_required`; `conflict` while there are containers, whose files only deleting them removes.
pub async fn delete(ctx: &Ctx, id: WorkspaceId) -> Result<(), Problem> {
    let grant = ctx.authorize::<WorkspaceDelete>(id).await?;
    ctx.require_fresh()?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let members = tx
        .find::<membership::Entity>()
        .order_by(membership::Column::AccountId, sea_orm::Order::Asc)
        .for_update()
        .all()
        .await?;
    standing::now(&tx, &grant).await?;
    let row = tx
        .find::<workspace::Entity>()
        .one()
        .await?
        .ok_or(StoreError::Absent)?;
    // The foreign key of `container` refuses to lose its workspace.
    tx.delete_many::<workspace::Entity>()
        .exec()
        .await
        .map_err(|error| match error {
            StoreError::Referenced => Problem::new(
                Code::Conflict,
                "The workspace still has containers. Delete them first: their files go with them.",
            ),
            other => other.into(),
        })?;
    let entry = audit::entry(ctx, Action::WorkspaceDelete, id, row.name);
    tx.commit(entry).await?;
    for member in members {
        ended::announce(&ctx.services, id, member.account_id);
    }
    Ok(())
}
