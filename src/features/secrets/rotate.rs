//! A new key for a workspace: with the values sealed anew, or without them.
//!
//! What always holds: the key and every value under it change in one transaction, in which the workspace's row is locked. Who
//! writes a value reads the key again in that transaction, locked for sharing, and has the value sealed anew if it changed
//! ([`under_current_key`]), so that none is written under a key of before.

use futures_util::{StreamExt, TryStreamExt, stream};
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Order};

use super::model::{Tier, binding, secret, version};
use crate::authz::permission::SecretsRotate;
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{Code, Problem, WorkspaceId};
use crate::store::{ScopedTx, StoreError};
use crate::vault::{Binding, Sealed, VaultError, WrappedKey};

/// Calls of the vault that are under way at once.
const AT_ONCE: usize = 64;

/// The key of the workspace for a transaction that writes values: nobody changes it until the transaction ends, so that a
/// rotation misses nothing that is written in it. Asked for before any row of a secret, as a rotation does. With `references`
/// nobody else writes the workspace's secrets meanwhile: what refers to what is looked at once more, and stays so.
///
/// # Errors
/// When the database does not answer.
pub async fn hold(tx: &ScopedTx, references: bool) -> Result<WrappedKey, StoreError> {
    if references {
        members::key_to_change(tx).await
    } else {
        members::key_to_use(tx).await
    }
}

/// What was sealed with `key` before this transaction, under the key that [`hold`] gave.
///
/// # Errors
/// When the vault does not answer.
pub async fn under_current_key(
    ctx: &Ctx,
    current: &WrappedKey,
    key: &WrappedKey,
    bound: &Binding,
    sealed: Vec<u8>,
) -> Result<Vec<u8>, Problem> {
    if current == key {
        return Ok(sealed);
    }
    let (vault, sealed) = (&ctx.services.vault, Sealed(sealed));
    // Mostly it is the same key, wrapped under another master.
    let same = vault.reseal((current, bound), &sealed, (current, bound));
    let sealed = match same.await {
        Err(VaultError::DoesNotDecrypt) => {
            vault
                .reseal((key, bound), &sealed, (current, bound))
                .await?
        }
        sealed => sealed?,
    };
    Ok(sealed.0)
}

/// Gives the workspace a new key and seals every version of every secret with it; says how many those were.
///
/// # Errors
/// 404, 403; `reauthentication_required`; nothing was changed then.
pub async fn rotate_key(ctx: &Ctx, workspace: WorkspaceId) -> Result<usize, Problem> {
    let grant = ctx.authorize::<SecretsRotate>(workspace).await?;
    ctx.require_fresh()?;
    let vault = &ctx.services.vault;
    let tx = ctx.services.store.scoped(&grant).await?;
    tx.hold_root().await?;
    let old = members::key_to_change(&tx).await?;
    let new = vault.new_workspace_key(workspace.bytes()).await?;
    let mut versions = Vec::new();
    for row in tx.find::<secret::Entity>().all().await? {
        let stored = tx
            .find::<version::Entity>()
            .filter(version::Column::SecretId.eq(row.id))
            .order_by(version::Column::Version, Order::Asc)
            .all()
            .await?;
        versions.extend(stored.into_iter().map(|stored| (row.name.clone(), stored)));
    }
    let count = versions.len();
    let calls = versions.into_iter().map(|(name, row)| {
        let (old, new) = (&old, &new);
        async move {
            let tier = Tier::stored(&row.tier);
            let bound = binding(workspace, row.secret_id, row.version, &name, tier);
            let sealed = Sealed(row.sealed);
            let sealed = vault.reseal((old, &bound), &sealed, (new, &bound)).await;
            sealed.map(|sealed| (row.secret_id, row.version, sealed))
        }
    });
    let resealed: Vec<_> = stream::iter(calls).buffered(AT_ONCE).try_collect().await?;
    for (id, number, sealed) in resealed {
        tx.update(version::ActiveModel {
            workspace_id: Set(workspace),
            secret_id: Set(id),
            version: Set(number),
            sealed: Set(sealed.0),
            ..Default::default()
        })
        .await?;
    }
    members::change_key(&tx, new).await?;
    let detail = format!("{count} values sealed anew");
    tx.commit(audit::entry(
        ctx,
        Action::WorkspaceKeyRotate,
        workspace,
        detail,
    ))
    .await?;
    Ok(count)
}

/// Deletes the workspace's key and all its secrets, so that no copy of a value opens again, not even with a copy of the
/// database; what is set from now on has a new key.
///
/// # Errors
/// 404, 403; `reauthentication_required`; `unprocessable` when `name` is not the workspace's.
pub async fn shred(ctx: &Ctx, workspace: WorkspaceId, name: &str) -> Result<(), Problem> {
    let grant = ctx.authorize::<SecretsRotate>(workspace).await?;
    ctx.require_fresh()?;
    let tx = ctx.services.store.scoped(&grant).await?;
    tx.hold_root().await?;
    members::key_to_change(&tx).await?;
    let row = tx
        .find::<members::workspace::Entity>()
        .one()
        .await?
        .ok_or_else(Problem::not_found)?;
    if name != row.name {
        return Err(Problem::new(
            Code::Unprocessable,
            "name: This is not the workspace's name. Type it as it is shown, to delete all its secrets.",
        ));
    }
    let new = ctx
        .services
        .vault
        .new_workspace_key(workspace.bytes())
        .await?;
    tx.delete_many::<version::Entity>().exec().await?;
    let count = tx.delete_many::<secret::Entity>().exec().await?;
    members::change_key(&tx, new).await?;
    let detail = format!("{count} secrets, and the key that opened them");
    tx.commit(audit::entry(ctx, Action::SecretsShred, workspace, detail))
        .await?;
    Ok(())
}
