//! A workspace's hidden values, sealed, for the redactor: everything that is or was Masked or Sensitive there, whoever's it is.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, Order};
use sha2::{Digest, Sha256};

use super::model::{Tier, secret, version};
use crate::features::members;
use crate::kernel::SecretId;
use crate::redactor::{HiddenItem, Load};
use crate::store::{Grant, Permission, ScopedRead, Store, StoreError};
use crate::vault::{Purpose, Sealed};

/// The most values that are looked for. Beyond it, those that were replaced longest ago are left out.
const MOST: usize = 16_384;
/// The most bytes of them, sealed.
const MOST_BYTES: usize = 24 << 20;

/// Which secrets a workspace has, as a digest: another one for each change of a value. None when it has none.
///
/// # Errors
/// When the database does not answer.
pub async fn state<P: Permission>(
    store: &Store,
    grant: &Grant<P>,
) -> Result<Option<[u8; 32]>, StoreError> {
    let tx = store.scoped_read(grant).await?;
    Ok(digest(&rows(&tx).await?))
}

/// All hidden values, and the state that they belong to. None when there are no secrets.
///
/// # Errors
/// When the database does not answer.
pub async fn load<P: Permission>(
    store: &Store,
    grant: &Grant<P>,
) -> Result<Option<Load>, StoreError> {
    // Key, rows and values of one moment: a rotation changes them together.
    let tx = store.scoped_snapshot(grant).await?;
    let rows = rows(&tx).await?;
    let Some(state) = digest(&rows) else {
        return Ok(None);
    };
    let key = members::key_in(&tx).await?;
    let names: HashMap<SecretId, (String, i64)> = rows
        .into_iter()
        .map(|row| (row.id, (row.name, row.version)))
        .collect();
    let versions = tx
        .find::<version::Entity>()
        .filter(version::Column::Tier.ne(Tier::Visible.as_str()))
        .order_by(version::Column::CreatedAtMs, Order::Desc)
        .all()
        .await?;
    drop(tx);
    let is_current = |row: &version::Model| {
        names
            .get(&row.secret_id)
            .is_some_and(|(_, current)| *current == row.version)
    };
    let (current, retired): (Vec<_>, Vec<_>) = versions.into_iter().partition(is_current);
    let (mut hidden, mut bytes) = (Vec::new(), 0);
    let count = current.len();
    for (at, row) in current.into_iter().chain(retired).enumerate() {
        let Some((name, _)) = names.get(&row.secret_id) else {
            continue;
        };
        bytes += row.sealed.len() + name.len();
        // All that are current, even if that is refused as too much: leaving one out would let it through.
        if at >= count && (at >= MOST || bytes > MOST_BYTES) {
            break;
        }
        hidden.push(HiddenItem {
            name: name.clone(),
            secret: row.secret_id.bytes(),
            version: u32::try_from(row.version).unwrap_or(u32::MAX),
            purpose: Purpose::Environment,
            tier: Tier::stored(&row.tier).vault(),
            sealed: Sealed(row.sealed),
        });
    }
    Ok(Some(Load {
        workspace: grant.workspace().bytes(),
        state,
        key,
        hidden,
    }))
}

async fn rows(tx: &ScopedRead) -> Result<Vec<secret::Model>, StoreError> {
    tx.find::<secret::Entity>()
        .order_by(secret::Column::Id, Order::Asc)
        .all()
        .await
}

fn digest(rows: &[secret::Model]) -> Option<[u8; 32]> {
    if rows.is_empty() {
        return None;
    }
    let mut digest = Sha256::new();
    for row in rows {
        digest.update(row.id.bytes());
        digest.update(row.version.to_be_bytes());
    }
    Some(digest.finalize().into())
}
