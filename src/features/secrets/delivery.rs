//! Values on their way to a container: opened and sealed again by the vault, to the agent's key.

use super::model::{Tier, binding, secret};
use super::store;
use crate::context::Services;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{ContainerId, Problem};
use crate::store::{Grant, Permission};
use crate::vault::{DeliverItem, Delivery, Sealed};

/// All secrets of the grant's workspace, and its user's own in the place of those of the same name, for that user's
/// container: as an environment that only the holder of `recipient`'s private key can read.
///
/// # Errors
/// When the vault or the database does not answer.
pub async fn sealed_environment<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    container: ContainerId,
    recipient: [u8; 32],
    info: &str,
) -> Result<Delivery, Problem> {
    let tx = services.store.scoped_read(grant).await?;
    let rows = store::effective(&tx, grant.user()).await?;
    drop(tx);
    // Before the values leave the vault: what was delivered can only be told too often, never too seldom.
    tell(services, grant, container, rows.values()).await?;
    // Key and values of one moment, and of the last: a rotation changes both.
    let tx = services.store.scoped_snapshot(grant).await?;
    let key = members::key_in(&tx).await?;
    let mut items = Vec::new();
    for row in rows.into_values() {
        let Some(stored) = store::value(&tx, row.id, row.version).await? else {
            // Deleted since the list was read: no longer the workspace's.
            continue;
        };
        items.push(DeliverItem {
            env: row.name.clone(),
            // Its own tier: the secret's may have become a stricter one since.
            binding: binding(
                grant.workspace(),
                row.id,
                row.version,
                &row.name,
                Tier::stored(&stored.tier),
            ),
            sealed: Sealed(stored.sealed),
            expand: row.expand,
        });
    }
    drop(tx);
    Ok(services
        .vault
        .deliver(&key, items, recipient, info, Vec::new())
        .await?)
}

/// Writes what is delivered into the audit log, and when into the rows.
async fn tell<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    container: ContainerId,
    rows: impl Iterator<Item = &secret::Model>,
) -> Result<(), Problem> {
    let (mut ids, mut names, mut own) = (Vec::new(), Vec::new(), 0_usize);
    for row in rows {
        ids.push(row.id);
        // The log is read by others: it does not say what a member has of their own.
        if row.scope.is_empty() {
            names.push(row.name.clone());
        } else {
            own += 1;
        }
    }
    if own > 0 {
        names.push(format!("and {own} of the member's own"));
    }
    if ids.is_empty() {
        return Ok(());
    }
    let detail = names.join(" ");
    let mut entry = audit::by_server(services, Action::SecretDeliver, container, detail);
    entry.actor = Some(grant.user());
    let tx = services.store.scoped(grant).await?;
    store::delivered(&tx, ids, services.clock.now_ms()).await?;
    tx.commit(entry).await?;
    Ok(())
}
