//! What a workspace and its organization say, read from the database and believed for a second.
//!
//! What always holds: a change is in force within a second of its commit, at every replica; what cannot be read lets
//! nothing through. Many connections at once cost one look, and what is open already is not looked at again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::judge::Rules;
use super::policy::AllowList;
use super::store::{self, Unknown};
use crate::kernel::WorkspaceId;
use crate::store::Store;

/// How long what was read is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// Workspaces that are remembered at most, but for those that are being read.
const REMEMBERED: usize = 4_096;

/// Where rules come from.
pub enum Lists {
    /// The database.
    Store(Store),
    /// What a test says, for every workspace.
    #[cfg(test)]
    Test(Arc<Rules>),
}

/// What one look found, and when it began; the next one waits for the one before.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Arc<Rules>)>>>;

/// What is known of each workspace.
pub struct Known {
    lists: Lists,
    /// Whether the operator takes additions.
    additions: bool,
    slots: Mutex<HashMap<WorkspaceId, Slot>>,
}

impl Known {
    /// Knows nothing yet.
    pub fn new(lists: Lists, additions: bool) -> Self {
        Self {
            lists,
            additions,
            slots: Mutex::default(),
        }
    }

    /// The rules of a workspace, not older than a second.
    ///
    /// # Errors
    /// [`Unknown`]: nothing may be let through then.
    pub async fn of(&self, workspace: WorkspaceId) -> Result<Arc<Rules>, Unknown> {
        match &self.lists {
            Lists::Store(database) => self.remembered(database, workspace).await,
            #[cfg(test)]
            Lists::Test(rules) => Ok(Arc::clone(rules)),
        }
    }

    async fn remembered(
        &self,
        database: &Store,
        workspace: WorkspaceId,
    ) -> Result<Arc<Rules>, Unknown> {
        let slot = self.slot(workspace);
        let mut known = slot.lock().await;
        if let Some((since, rules)) = &*known
            && since.elapsed() < BELIEVED
        {
            return Ok(Arc::clone(rules));
        }
        // A change that is committed during the look may be missed by it, so the second begins before.
        let since = Instant::now();
        let rules = Arc::new(read(database, workspace, self.additions).await?);
        *known = Some((since, Arc::clone(&rules)));
        Ok(rules)
    }

    /// Looks again at the next connection: something was changed here.
    pub fn forget(&self) {
        self.slots().clear();
    }

    fn slot(&self, workspace: WorkspaceId) -> Slot {
        let mut slots = self.slots();
        if slots.len() >= REMEMBERED && !slots.contains_key(&workspace) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(slots.entry(workspace).or_default())
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<WorkspaceId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the database says now.
async fn read(database: &Store, workspace: WorkspaceId, additions: bool) -> Result<Rules, Unknown> {
    let (added, ceiling) = store::rows(database, workspace).await?;
    Ok(Rules {
        // An addition that this version cannot read opens nothing.
        additions: additions.then(|| AllowList::parse_known(&added)),
        ceiling: (!ceiling.is_empty())
            .then(|| AllowList::parse(&ceiling))
            .transpose()
            .map_err(|error| Unknown::Ceiling(error.to_string()))?,
    })
}

#[cfg(test)]
mod tests {
    use sea_orm::ActiveValue::Set;
    use sea_orm::ColumnTrait;

    use super::super::host::{Host, Target};
    use super::super::judge::judge;
    use super::super::model::{addition, ceiling};
    use super::*;
    use crate::authz::Role;
    use crate::context::testing::services;
    use crate::features::members::testing::{Place, place};
    use crate::kernel::{Clock, Rng};
    use crate::store::{SystemPurpose, Unaudited};

    fn target(host: &str) -> Target {
        Target {
            host: Host::parse(host).unwrap(),
            port: 443,
        }
    }

    async fn limit(store: &Store, place: &Place, hosts: &str) {
        let tx = store.system(SystemPurpose::Setup).await.unwrap();
        tx.delete_where::<ceiling::Entity>(ceiling::Column::OrganizationId.eq(place.organization))
            .await
            .unwrap();
        tx.insert(ceiling::ActiveModel {
            organization_id: Set(place.organization),
            hosts: Set(hosts.to_owned()),
            changed_by: Set(place.user),
            changed_at_ms: Set(1),
        })
        .await
        .unwrap();
        tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_known_is_a_second_old_at_most_and_what_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = services(folder.path()).await.store;
        let place = place(&store, Role::Owner).await;
        let known = Known::new(Lists::Store(store.clone()), true);
        let installation = AllowList::parse(&["a.example".to_owned()]).unwrap();
        let allowed = async || {
            let rules = known.of(place.workspace).await.unwrap();
            judge(&installation, &rules, &target("a.example"), true).is_ok()
        };
        assert!(allowed().await);
        let start = Instant::now();
        limit(&store, &place, "[\"b.example\"]").await;
        while allowed().await {
            assert!(start.elapsed() < Duration::from_millis(1_500));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        limit(&store, &place, "[]").await;
        known.forget();
        assert!(allowed().await, "changed here, and not looked at again");
        // What this version cannot read is not taken for no ceiling.
        for hosts in ["[\"*\"]", "nonsense", "{}"] {
            limit(&store, &place, hosts).await;
            known.forget();
            let error = known.of(place.workspace).await.unwrap_err();
            assert!(matches!(error, Unknown::Ceiling(_)), "{hosts}: {error}");
        }
        let nobody = WorkspaceId::new(&Clock::system(), &Rng);
        assert!(known.of(nobody).await.is_err());
    }

    #[tokio::test]
    async fn an_addition_holds_in_its_workspace_and_where_additions_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let store = services(folder.path()).await.store;
        let (own, other) = (
            place(&store, Role::Owner).await,
            place(&store, Role::Owner).await,
        );
        let tx = store.system(SystemPurpose::Setup).await.unwrap();
        tx.insert(addition::ActiveModel {
            workspace_id: Set(own.workspace),
            hosts: Set("[\"a.example\",\"*\"]".to_owned()),
            changed_by: Set(own.user),
            changed_at_ms: Set(1),
        })
        .await
        .unwrap();
        tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
        for (taken, workspace, expected) in [
            (true, own.workspace, true),
            (true, other.workspace, false),
            (false, own.workspace, false),
        ] {
            let known = Known::new(Lists::Store(store.clone()), taken);
            let rules = known.of(workspace).await.unwrap();
            let outcome = judge(&AllowList::default(), &rules, &target("a.example"), true);
            assert_eq!(outcome.is_ok(), expected, "{taken} {outcome:?}");
        }
    }
}
