//! Values on their way to a container: opened and sealed again by the vault, to the agent's key.

use super::model::{Tier, binding};
use super::store;
use crate::context::Services;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{ContainerId, Problem};
use crate::store::{Grant, Permission};
use crate::vault::{DeliverItem, Delivery, Sealed};

/// All secrets of the grant's workspace for one container, as an environment that only the holder of `recipient`'s private key can read.
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
    let rows = store::list(&services.store.scoped_read(grant).await?).await?;
    // Before the values leave the vault: what was delivered can only be told too often, never too seldom.
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let detail = names.join(" ");
    if !names.is_empty() {
        let mut entry = audit::by_server(services, Action::SecretDeliver, container, detail);
        entry.actor = Some(grant.user());
        services.store.scoped(grant).await?.commit(entry).await?;
    }
    // Key and values of one moment, and of the last: a rotation changes both.
    let tx = services.store.scoped_read(grant).await?;
    let key = members::key_in(&tx).await?;
    let mut items = Vec::new();
    for row in rows {
        let Some(stored) = store::value(&tx, row.id, row.version).await? else {
            // Deleted since the list was read: no longer the workspace's.
            continue;
        };
        items.push(DeliverItem {
            env: row.name.clone(),
            binding: binding(
                grant.workspace(),
                row.id,
                row.version,
                &row.name,
                Tier::stored(&row.tier),
            ),
            sealed: Sealed(stored.sealed),
            // References come with their setting.
            expand: false,
        });
    }
    drop(tx);
    Ok(services
        .vault
        .deliver(&key, items, recipient, info, Vec::new())
        .await?)
}
