//! Hidden values, sealed, for the redactor: what is or was Masked or Sensitive in a workspace, in its projects, and of the own of
//! whoever asks. What other members have of their own is theirs: nobody is to learn from a request of theirs what that is.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, Condition, Order};
use sha2::{Digest, Sha256};

use super::model::{Scope, Tier, secret, version};
use crate::features::members;
use crate::kernel::{SecretId, UserId};
use crate::redactor::{HiddenItem, Load, MAX_HIDDEN, Of};
use crate::store::{Grant, Permission, ScopedRead, Store, StoreError};
use crate::vault::{Purpose, Sealed};

/// The most bytes of sealed values that are told at once: they have to fit a frame.
const MOST_BYTES: usize = 24 << 20;

/// Whose secrets are looked for, and which those are, as a digest: another one for each change of a value or a tier. None when it has none.
///
/// # Errors
/// When the database does not answer.
pub async fn hidden_state<P: Permission>(
    store: &Store,
    grant: &Grant<P>,
) -> Result<Option<(Of, [u8; 32])>, StoreError> {
    let tx = store.scoped_read(grant).await?;
    let rows = rows(&tx, grant.user()).await?;
    Ok(digest(&rows).map(|state| (of(grant, &rows), state)))
}

/// All hidden values, and the state that they belong to. None when there are no secrets.
///
/// # Errors
/// When the database does not answer.
pub async fn hidden_values<P: Permission>(
    store: &Store,
    grant: &Grant<P>,
) -> Result<Option<Load>, StoreError> {
    // Key, rows and values of one moment: a rotation changes them together.
    let tx = store.scoped_snapshot(grant).await?;
    let rows = rows(&tx, grant.user()).await?;
    let of = of(grant, &rows);
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
    let (current, hidden) = choose(&names, versions);
    Ok(Some(Load {
        of,
        state,
        key,
        current,
        hidden,
    }))
}

/// The values to tell, those that are current first, and how many those are. All of them are told, even if that is refused
/// as too much: one that is left out would go through. Of the others, those that were replaced longest ago may be left out.
fn choose(
    names: &HashMap<SecretId, (String, i64)>,
    newest_first: Vec<version::Model>,
) -> (usize, Vec<HiddenItem>) {
    let is_current = |row: &version::Model| {
        let known = names.get(&row.secret_id);
        known.is_some_and(|(_, current)| *current == row.version)
    };
    let (current, retired): (Vec<_>, Vec<_>) = newest_first.into_iter().partition(is_current);
    let (mut hidden, mut bytes) = (Vec::new(), 0);
    let count = current.len();
    for (at, row) in current.into_iter().chain(retired).enumerate() {
        let Some((name, _)) = names.get(&row.secret_id) else {
            continue;
        };
        bytes += row.sealed.len() + name.len();
        if at >= count && (at >= MAX_HIDDEN || bytes > MOST_BYTES) {
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
    (count, hidden)
}

/// The workspace's secrets, those of its projects, and the user's own.
async fn rows(tx: &ScopedRead, user: UserId) -> Result<Vec<secret::Model>, StoreError> {
    let scopes = [String::new(), Scope::Own.stored(user)];
    let condition = Condition::any()
        .add(secret::Column::Scope.is_in(scopes))
        .add(secret::Column::Scope.starts_with(Scope::OF_PROJECTS));
    tx.find::<secret::Entity>()
        .filter(condition)
        .order_by(secret::Column::Id, Order::Asc)
        .all()
        .await
}

fn of<P: Permission>(grant: &Grant<P>, rows: &[secret::Model]) -> Of {
    let own = rows.iter().any(|row| Scope::of(row) == Scope::Own);
    Of {
        workspace: grant.workspace().bytes(),
        user: if own { grant.user().bytes() } else { [0; 16] },
    }
}

fn digest(rows: &[secret::Model]) -> Option<[u8; 32]> {
    if rows.is_empty() {
        return None;
    }
    let mut digest = Sha256::new();
    for row in rows {
        digest.update(row.id.bytes());
        digest.update(row.version.to_be_bytes());
        // A value that becomes hidden keeps its version.
        digest.update([Tier::stored(&row.tier).vault().number()]);
    }
    Some(digest.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng, WorkspaceId};

    fn version(secret: SecretId, number: i64, bytes: usize) -> version::Model {
        let clock = Clock::fixed(1);
        version::Model {
            workspace_id: WorkspaceId::new(&clock, &Rng),
            secret_id: secret,
            version: number,
            tier: "masked".to_owned(),
            sealed: vec![0; bytes],
            refers_to: String::new(),
            created_by: UserId::new(&clock, &Rng),
            created_at_ms: number,
        }
    }

    #[test]
    fn current_values_come_first_and_all_of_them_and_the_newest_of_the_others() {
        let clock = Clock::fixed(1);
        let (one, two, gone) = (
            SecretId::new(&clock, &Rng),
            SecretId::new(&clock, &Rng),
            SecretId::new(&clock, &Rng),
        );
        let names = HashMap::from([(one, ("ONE".to_owned(), 3)), (two, ("TWO".to_owned(), 1))]);
        let all = vec![
            version(one, 3, 10),
            version(gone, 9, 10),
            version(one, 2, 10),
            version(two, 1, 10),
            version(one, 1, MOST_BYTES),
        ];
        let (current, hidden) = choose(&names, all);
        let told: Vec<(&str, u32)> = hidden
            .iter()
            .map(|one| (one.name.as_str(), one.version))
            .collect();
        assert_eq!(
            (current, told),
            (2, vec![("ONE", 3), ("TWO", 1), ("ONE", 2)])
        );
        // However large those are that count now.
        let all = vec![
            version(one, 3, MOST_BYTES),
            version(two, 1, MOST_BYTES),
            version(one, 2, 1),
        ];
        let (current, hidden) = choose(&names, all);
        assert_eq!((current, hidden.len()), (2, 2));
    }
}
