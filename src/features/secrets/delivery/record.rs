//! What each container was given last, and what of it is another one by now.

use std::collections::BTreeMap;

use sea_orm::ActiveValue::Set;
use sea_orm::ColumnTrait;
use serde::{Deserialize, Serialize};

use super::contexts::Contexts;
use crate::features::secrets::model::{DeliveredAs, Scope, secret};
use crate::kernel::{ContainerId, ProjectId, SecretId, UserId};
use crate::store::{ScopedRead, ScopedTx, StoreError};

/// The table.
pub mod given {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{ContainerId, WorkspaceId};

    /// A row of `secret_delivery`; it goes with its container.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "secret_delivery")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The container.
        #[sea_orm(primary_key, auto_increment = false)]
        pub container_id: ContainerId,
        /// [`All`](super::All) as JSON: no values.
        pub given: String,
        /// When.
        pub delivered_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(given);

/// What was given of one secret: without its value, what tells it from another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    version: i64,
    /// Kept here, because the secret may be deleted since.
    name: String,
    scope: String,
    delivered_as: DeliveredAs,
    expand: bool,
}

impl Given {
    fn of(row: &secret::Model) -> Self {
        Self {
            version: row.version,
            name: row.name.clone(),
            scope: row.scope.clone(),
            delivered_as: DeliveredAs::stored(&row.delivered_as),
            expand: row.expand,
        }
    }
}

/// All that one container was given.
pub type All = BTreeMap<SecretId, Given>;

/// What is given of these contexts.
pub fn all_of(contexts: &Contexts) -> All {
    let secrets = contexts.secrets().into_iter();
    secrets.map(|(id, row)| (id, Given::of(row))).collect()
}

/// Notes what a container has now.
pub async fn write(
    tx: &ScopedTx,
    container: ContainerId,
    all: &All,
    now_ms: i64,
) -> Result<(), StoreError> {
    tx.delete_many::<given::Entity>()
        .filter(given::Column::ContainerId.eq(container))
        .exec()
        .await?;
    tx.insert(given::ActiveModel {
        workspace_id: Set(tx.workspace()),
        container_id: Set(container),
        given: Set(serde_json::to_string(all).unwrap_or_default()),
        delivered_at_ms: Set(now_ms),
    })
    .await?;
    Ok(())
}

/// What the containers of the workspace have, and since when. What cannot be read counts as nothing.
pub async fn read(tx: &ScopedRead) -> Result<BTreeMap<ContainerId, (All, i64)>, StoreError> {
    let rows = tx.find::<given::Entity>().all().await?.into_iter();
    let read = rows.map(|row| {
        let all = serde_json::from_str(&row.given).unwrap_or_default();
        (row.container_id, (all, row.delivered_at_ms))
    });
    Ok(read.collect())
}

/// A secret of which a container has another version, or which it has and should not, or lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutdatedSecret {
    /// Its name.
    pub name: String,
    /// The project that it is of, if it is one's.
    pub project_id: Option<ProjectId>,
    /// The version that the container has; null when it has none.
    pub delivered_version: Option<i64>,
    /// The version that it would get; null when it would get none. The same as the delivered one when only how it is given
    /// has changed.
    pub current_version: Option<i64>,
}

/// What is outdated in a container, as somebody may know it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outdated {
    /// By name.
    pub named: Vec<OutdatedSecret>,
    /// How many more, of another member's own.
    pub others: usize,
}

/// Compares what a container has with what it would get. What is a member's own is named to that member alone.
pub fn outdated(has: &All, gets: &All, viewer: UserId) -> Outdated {
    let mut found = Outdated::default();
    let viewer = viewer.to_string();
    let gone = has.keys().filter(|id| !gets.contains_key(*id));
    for id in gets.keys().chain(gone) {
        let (had, now) = (has.get(id), gets.get(id));
        let Some(shown) = now.or(had).filter(|_| had != now) else {
            continue;
        };
        let scope = Scope::read(&shown.scope);
        if scope == Scope::Own && shown.scope != viewer {
            found.others += 1;
            continue;
        }
        found.named.push(OutdatedSecret {
            name: shown.name.clone(),
            project_id: scope.project(),
            delivered_version: had.map(|given| given.version),
            current_version: now.map(|given| given.version),
        });
    }
    found
        .named
        .sort_by(|a, b| (&a.name, a.project_id).cmp(&(&b.name, b.project_id)));
    found
}

#[cfg(test)]
mod tests {
    use super::super::contexts::testing::row;
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[test]
    fn changed_new_and_gone_ones_are_found_and_others_own_are_only_counted() {
        let clock = Clock::fixed(1);
        let (me, bob) = (UserId::new(&clock, &Rng), UserId::new(&clock, &Rng));
        let mut rows = [
            row("SAME", ""),
            row("CHANGED", ""),
            row("GONE", ""),
            row("FORM", ""),
            row("BOBS", &bob.to_string()),
            row("NEW", ""),
        ];
        let all = |rows: &[secret::Model]| -> All {
            rows.iter().map(|row| (row.id, Given::of(row))).collect()
        };
        let has = all(&rows[..5]);
        // As it is kept.
        let has: All = serde_json::from_str(&serde_json::to_string(&has).unwrap()).unwrap();
        rows[1].version = 4;
        rows[3].delivered_as = "file".to_owned();
        rows[4].version = 2;
        let mut gets = all(&rows);
        gets.remove(&rows[2].id);
        let shown = |viewer| {
            let found = outdated(&has, &gets, viewer);
            let named = found.named.into_iter().map(|one| {
                let number = |version: Option<i64>| version.map_or("-".into(), |n| n.to_string());
                let (had, now) = (number(one.delivered_version), number(one.current_version));
                format!("{} {had} {now}", one.name)
            });
            (named.collect::<Vec<_>>().join(", "), found.others)
        };
        let shared = "CHANGED 1 4, FORM 1 1, GONE 1 -, NEW - 1";
        assert_eq!(shown(me), (shared.to_owned(), 1));
        assert_eq!(shown(bob), (format!("BOBS 1 2, {shared}"), 0));
        assert_eq!(outdated(&gets, &gets, me), Outdated::default());
    }
}
