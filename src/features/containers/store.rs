//! The container table.

use std::collections::{BTreeSet, HashMap};

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::model::{Identity, Observed, State, StepName, Wanted, pending_steps};
use crate::authz::accounts::account;
use crate::authz::{Role, membership};
use crate::kernel::{ContainerId, OrganizationId, UserId, WorkspaceId};
use crate::store::{Entry, ScopedRead, ScopedTx, Store, StoreError, SystemPurpose, Unaudited};

/// Rows of containers.
pub mod container {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{ContainerId, UserId, WorkspaceId};

    /// A row of `container`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "container")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The container.
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: ContainerId,
        /// Its one owner; one container each per workspace.
        pub owner_id: UserId,
        /// A word of `Wanted`.
        pub wanted: String,
        /// Counts what was asked for: a start asked for again is a new one.
        pub generation: i64,
        /// A word of `State`, as last observed.
        pub state: String,
        /// Why.
        pub reason: Option<String>,
        /// The last start, as JSON.
        pub steps: String,
        /// When it was made.
        pub created_at_ms: i64,
        /// When it became running.
        pub started_at_ms: Option<i64>,
        /// How long that took.
        pub start_duration_ms: Option<i64>,
        /// Of pods: a name of `[kubernetes.classes]`; the default's when none.
        pub class: Option<String>,
        /// Of pods: one of the allowed images; the default when none.
        pub image: Option<String>,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(container);

impl container::Model {
    /// What was asked for; an unknown word asks for nothing to run.
    pub fn wanted(&self) -> Wanted {
        self.wanted.parse().unwrap_or(Wanted::Stopped)
    }

    /// Whose it is.
    pub fn identity(&self) -> Identity {
        Identity {
            workspace: self.workspace_id,
            container: self.id,
            owner: self.owner_id,
        }
    }

    /// What was observed when it was last written.
    pub fn observed(&self) -> Observed {
        Observed {
            wanted: self.wanted(),
            state: self.state.parse().unwrap_or(State::Stopped),
            reason: self.reason.clone(),
            steps: serde_json::from_str(&self.steps)
                .unwrap_or_else(|_| pending_steps(&StepName::ALL)),
            started_at_ms: self.started_at_ms,
            start_duration_ms: self.start_duration_ms,
        }
    }
}

/// A new container that is wanted running.
pub fn new_row(identity: Identity, now_ms: i64) -> container::ActiveModel {
    container::ActiveModel {
        workspace_id: Set(identity.workspace),
        id: Set(identity.container),
        owner_id: Set(identity.owner),
        wanted: Set(Wanted::Running.as_str().to_owned()),
        generation: Set(1),
        state: Set(State::Stopped.as_str().to_owned()),
        reason: Set(None),
        steps: Set(encode(&pending_steps(&StepName::ALL))),
        created_at_ms: Set(now_ms),
        started_at_ms: Set(None),
        start_duration_ms: Set(None),
        class: Set(None),
        image: Set(None),
    }
}

/// The containers of a workspace.
pub async fn list(tx: &ScopedRead) -> Result<Vec<container::Model>, StoreError> {
    tx.find::<container::Entity>()
        .order_by(container::Column::Id, sea_orm::Order::Asc)
        .all()
        .await
}

/// One container of a workspace.
pub async fn find(
    tx: &ScopedRead,
    id: ContainerId,
) -> Result<Option<container::Model>, StoreError> {
    tx.find::<container::Entity>()
        .filter(container::Column::Id.eq(id))
        .one()
        .await
}

/// A member's container.
pub async fn find_of(
    tx: &ScopedRead,
    owner: UserId,
) -> Result<Option<container::Model>, StoreError> {
    tx.find::<container::Entity>()
        .filter(container::Column::OwnerId.eq(owner))
        .one()
        .await
}

/// Asks for something else than `row` does, and counts it; `None` when somebody asked for something since `row` was
/// read, so that it must be read and judged again.
pub async fn want(
    tx: &ScopedTx,
    row: &container::Model,
    wanted: Wanted,
) -> Result<Option<container::Model>, StoreError> {
    let mut change = tx
        .update_many::<container::Entity>()
        .filter(container::Column::Id.eq(row.id))
        .filter(container::Column::Generation.eq(row.generation))
        .set(container::Column::Wanted, wanted.as_str())
        .set(container::Column::Generation, row.generation + 1);
    if wanted == Wanted::Running && row.state == State::Failed.as_str() {
        // Whoever asks before the start has begun, and at another server, would take this for what became of it.
        change = change
            .set(container::Column::State, State::Stopped.as_str())
            .set(container::Column::Reason, None::<String>);
    }
    let changed = change.exec().await?;
    if changed == 0 {
        return Ok(None);
    }
    find(tx, row.id).await
}

/// As [`want`] with a start, of this class and image.
pub async fn want_with(
    tx: &ScopedTx,
    row: &container::Model,
    class: Option<String>,
    image: Option<String>,
) -> Result<Option<container::Model>, StoreError> {
    let Some(wanted) = want(tx, row, Wanted::Running).await? else {
        return Ok(None);
    };
    if (&wanted.class, &wanted.image) == (&class, &image) {
        return Ok(Some(wanted));
    }
    tx.update_many::<container::Entity>()
        .filter(container::Column::Id.eq(row.id))
        .set(container::Column::Class, class)
        .set(container::Column::Image, image)
        .exec()
        .await?;
    find(tx, row.id).await
}

/// Every container of every workspace, for the controller.
pub async fn scan(store: &Store) -> Result<Vec<container::Model>, StoreError> {
    store
        .system(SystemPurpose::ContainerScan)
        .await?
        .all(container::Entity::find())
        .await
}

/// Containers that are not as they are wanted, as last written, for the controller.
pub async fn unfulfilled(store: &Store) -> Result<Vec<container::Model>, StoreError> {
    let is = |wanted: Wanted, states: &[State]| {
        Condition::all()
            .add(container::Column::Wanted.eq(wanted.as_str()))
            .add(container::Column::State.is_in(states.iter().map(|state| state.as_str())))
    };
    let any = Condition::any()
        .add(is(Wanted::Running, &[State::Stopped, State::Failed]))
        .add(is(
            Wanted::Stopped,
            &[State::Starting, State::Running, State::Stopping],
        ))
        .add(container::Column::Wanted.eq(Wanted::Deleted.as_str()));
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    tx.all(container::Entity::find().filter(any)).await
}

/// One container, for the controller.
pub async fn scan_one(
    store: &Store,
    id: ContainerId,
) -> Result<Option<container::Model>, StoreError> {
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    tx.one(container::Entity::find().filter(container::Column::Id.eq(id)))
        .await
}

/// Display names of owners.
pub async fn owner_names(
    store: &Store,
    owners: &[UserId],
) -> Result<Vec<(UserId, String)>, StoreError> {
    let tx = store.system(SystemPurpose::Memberships).await?;
    let query = account::Entity::find().filter(account::Column::Id.is_in(owners.iter().copied()));
    Ok(tx
        .all(query)
        .await?
        .into_iter()
        .map(|person| (person.id, person.name))
        .collect())
}

/// Writes what was observed. It never touches what is wanted.
pub async fn observe(store: &Store, who: Identity, observed: &Observed) -> Result<(), StoreError> {
    let values = container::ActiveModel {
        state: Set(observed.state.as_str().to_owned()),
        reason: Set(observed.reason.clone()),
        steps: Set(encode(&observed.steps)),
        started_at_ms: Set(observed.started_at_ms),
        start_duration_ms: Set(observed.start_duration_ms),
        ..Default::default()
    };
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    tx.update_where::<container::Entity>(row_of(who), values)
        .await?;
    tx.commit_unaudited(Unaudited::Observed).await
}

/// Turns a running container's wish to stopped, unless its owner asked for something since `generation`.
pub async fn want_stopped_if(
    store: &Store,
    who: Identity,
    generation: i64,
) -> Result<bool, StoreError> {
    let values = container::ActiveModel {
        wanted: Set(Wanted::Stopped.as_str().to_owned()),
        ..Default::default()
    };
    let condition = row_of(who).add(container::Column::Generation.eq(generation));
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    let changed = tx
        .update_where::<container::Entity>(condition, values)
        .await?;
    tx.commit_unaudited(Unaudited::Observed).await?;
    Ok(changed > 0)
}

/// The roles of these people, wherever they are members; an unknown word is no role.
pub async fn roles_of(
    store: &Store,
    people: impl Iterator<Item = UserId>,
) -> Result<HashMap<(WorkspaceId, UserId), Role>, StoreError> {
    let people: BTreeSet<UserId> = people.collect();
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    let rows = tx
        .all(membership::Entity::find().filter(membership::Column::AccountId.is_in(people)))
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some(((row.workspace_id, row.account_id), row.role.parse().ok()?)))
        .collect())
}

/// Turns a running container's wish to stopped and says so in the audit log, unless somebody asked for something since.
pub async fn stop_for_want_of_right(
    store: &Store,
    row: &container::Model,
    organization: OrganizationId,
    entry: Entry,
) -> Result<bool, StoreError> {
    let values = container::ActiveModel {
        wanted: Set(Wanted::Stopped.as_str().to_owned()),
        generation: Set(row.generation + 1),
        ..Default::default()
    };
    let who = row.identity();
    let condition = row_of(who).add(container::Column::Generation.eq(row.generation));
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    if tx
        .update_where::<container::Entity>(condition, values)
        .await?
        == 0
    {
        return Ok(false);
    }
    tx.commit_in(organization, who.workspace, entry).await?;
    Ok(true)
}

/// Removes a container whose volume is gone, if that is still wanted.
pub async fn remove(store: &Store, who: Identity) -> Result<(), StoreError> {
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    let condition = row_of(who).add(container::Column::Wanted.eq(Wanted::Deleted.as_str()));
    tx.delete_where::<container::Entity>(condition).await?;
    tx.commit_unaudited(Unaudited::Observed).await
}

fn row_of(who: Identity) -> Condition {
    Condition::all()
        .add(container::Column::WorkspaceId.eq(who.workspace))
        .add(container::Column::Id.eq(who.container))
}

fn encode(steps: &[super::model::Step]) -> String {
    serde_json::to_string(steps).unwrap_or_else(|_| "[]".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::authorize_user_now;
    use crate::authz::permission::ContainersUse;
    use crate::features::members::testing;
    use crate::kernel::{Clock, Rng};

    #[tokio::test]
    async fn a_start_that_read_the_row_before_a_delete_does_not_undo_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::context::testing::services(folder.path()).await.store;
        let place = testing::place(&store, Role::User).await;
        let (workspace, owner) = (place.workspace, place.user);
        let grant = authorize_user_now::<ContainersUse>(&store, owner, workspace)
            .await
            .unwrap();
        let container = ContainerId::new(&Clock::system(), &Rng);
        let identity = Identity {
            workspace,
            container,
            owner,
        };
        let tx = store.scoped(&grant).await.unwrap();
        let read = tx
            .insert::<container::Entity, _>(new_row(identity, 1))
            .await
            .unwrap();
        let deleted = want(&tx, &read, Wanted::Deleted).await.unwrap().unwrap();
        assert_eq!((deleted.wanted(), deleted.generation), (Wanted::Deleted, 2));
        assert_eq!(want(&tx, &read, Wanted::Running).await.unwrap(), None);
        assert_eq!(find(&tx, container).await.unwrap(), Some(deleted));
    }
}
