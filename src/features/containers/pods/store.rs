//! The table `pod`.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use crate::clients::cluster::{Observed, Phase};
use crate::features::containers::model::{Identity, Wanted};
use crate::kernel::ContainerId;
use crate::store::{Store, StoreError, SystemPurpose, Unaudited};

/// Rows of pods.
pub mod pod {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{ContainerId, UserId, WorkspaceId};

    /// A row of `pod`: a container's, once it was wanted running.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "pod")]
    pub struct Model {
        /// The tenant.
        #[sea_orm(primary_key, auto_increment = false)]
        pub workspace_id: WorkspaceId,
        /// The container.
        #[sea_orm(primary_key, auto_increment = false)]
        pub container_id: ContainerId,
        /// Its owner.
        pub owner_id: UserId,
        /// A word of `Wanted`.
        pub wanted: String,
        /// A name of `[kubernetes.classes]`.
        pub class: String,
        /// The image, with its digest.
        pub image: String,
        /// Counts what was asked for.
        pub asked: i64,
        /// When.
        pub asked_at_ms: i64,
        /// Counts what the servers wrote.
        pub changed: i64,
        /// Which start of the agent a server spoke with.
        pub boot_id: Option<String>,
        /// What of `changed` the controller has acted on.
        pub seen: i64,
        /// Counts the tokens that were made: each is another pod.
        pub attempt: i64,
        /// What was asked when the last of them was made.
        pub attempt_for: i64,
        /// SHA-256 of the token.
        pub token_digest: Option<Vec<u8>>,
        /// SHA-256 of the request that used it up.
        pub csr_digest: Option<Vec<u8>>,
        /// When.
        pub enrolled_at_ms: Option<i64>,
        /// A word of `Phase`.
        pub phase: String,
        /// A word of `Step`.
        pub step: Option<String>,
        /// The pod's address.
        pub ip: Option<String>,
        /// The pod's uid.
        pub pod_uid: Option<String>,
        /// For people.
        pub reason: Option<String>,
        /// Whether waiting cannot help.
        pub permanent: bool,
        /// Whether it ended because its memory was full.
        pub out_of_memory: bool,
        /// Whether a stopped container's namespace is freed.
        pub freed: bool,
        /// When this was observed.
        pub observed_at_ms: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

crate::tenant_entity!(pod);

impl pod::Model {
    /// Whose it is.
    pub fn identity(&self) -> Identity {
        Identity {
            workspace: self.workspace_id,
            container: self.container_id,
            owner: self.owner_id,
        }
    }

    /// What is wanted; an unknown word asks for nothing to run.
    pub fn wanted(&self) -> Wanted {
        self.wanted.parse().unwrap_or(Wanted::Stopped)
    }

    /// What was observed; an unknown word says nothing.
    pub fn phase(&self) -> Option<Phase> {
        Phase::from_word(&self.phase)
    }

    /// Whether the agent of the present attempt has its certificate.
    pub fn is_enrolled(&self) -> bool {
        self.csr_digest.is_some()
    }
}

/// What a server asks for.
pub struct Ask<'a> {
    /// The state.
    pub wanted: Wanted,
    /// Class and image of a start.
    pub start: Option<(&'a str, &'a str)>,
}

/// The row of a container, if it has one.
pub async fn read(store: &Store, id: ContainerId) -> Result<Option<pod::Model>, StoreError> {
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    tx.one(pod::Entity::find().filter(pod::Column::ContainerId.eq(id)))
        .await
}

/// All rows.
pub async fn all(store: &Store) -> Result<Vec<pod::Model>, StoreError> {
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    tx.all(pod::Entity::find()).await
}

/// Those that servers wrote and the controller has not acted on.
pub async fn waiting(store: &Store) -> Result<Vec<pod::Model>, StoreError> {
    use sea_orm::sea_query::{Expr, ExprTrait};
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    let unseen = Expr::col(pod::Column::Changed).not_equals(pod::Column::Seen);
    tx.all(pod::Entity::find().filter(unseen)).await
}

/// Asks for something, and answers the number of this asking. Makes the row when there is none.
pub async fn ask(
    store: &Store,
    who: Identity,
    ask: &Ask<'_>,
    now_ms: i64,
) -> Result<i64, StoreError> {
    loop {
        let found = read(store, who.container).await?;
        let tx = store.system(SystemPurpose::ContainerObserve).await?;
        let (asked, done) = match found {
            None => {
                let inserted = tx.insert(new_row(who, ask, now_ms)).await;
                match inserted {
                    // Another server made it in between.
                    Err(StoreError::Duplicate) => continue,
                    other => other.map(|row| (row.asked, true))?,
                }
            }
            Some(row) => {
                let mut values = asking(ask, row.asked + 1, row.changed + 1, now_ms);
                if row.wanted() == Wanted::Stopped && ask.wanted == Wanted::Stopped {
                    // It stays as long since as it is.
                    values.asked_at_ms = Set(row.asked_at_ms);
                }
                let unchanged = is(&row).add(pod::Column::Changed.eq(row.changed));
                let changed = tx.update_where::<pod::Entity>(unchanged, values).await?;
                (row.asked + 1, changed > 0)
            }
        };
        if done {
            tx.commit_unaudited(Unaudited::Observed).await?;
            return Ok(asked);
        }
    }
}

fn new_row(who: Identity, ask: &Ask<'_>, now_ms: i64) -> pod::ActiveModel {
    let (class, image) = ask.start.unwrap_or_default();
    pod::ActiveModel {
        workspace_id: Set(who.workspace),
        container_id: Set(who.container),
        owner_id: Set(who.owner),
        class: Set(class.to_owned()),
        image: Set(image.to_owned()),
        seen: Set(0),
        attempt: Set(0),
        attempt_for: Set(0),
        pod_uid: Set(None),
        freed: Set(false),
        ..asking(ask, 1, 1, now_ms)
    }
}

/// What was observed of something else is not left to stand.
fn asking(ask: &Ask<'_>, asked: i64, changed: i64, now_ms: i64) -> pod::ActiveModel {
    let phase = match ask.wanted {
        Wanted::Running => Phase::Preparing,
        Wanted::Stopped | Wanted::Deleted => Phase::Terminating,
    };
    let mut values = pod::ActiveModel {
        wanted: Set(ask.wanted.as_str().to_owned()),
        asked: Set(asked),
        asked_at_ms: Set(now_ms),
        changed: Set(changed),
        boot_id: Set(None),
        token_digest: Set(None),
        csr_digest: Set(None),
        enrolled_at_ms: Set(None),
        phase: Set(phase.as_str().to_owned()),
        step: Set(None),
        ip: Set(None),
        reason: Set(None),
        permanent: Set(false),
        out_of_memory: Set(false),
        observed_at_ms: Set(now_ms),
        ..Default::default()
    };
    if let Some((class, image)) = ask.start {
        values.class = Set(class.to_owned());
        values.image = Set(image.to_owned());
    }
    values
}

/// Notes which start of the agent the server spoke with.
pub async fn remember(
    store: &Store,
    who: Identity,
    asked: i64,
    boot_id: &str,
) -> Result<bool, StoreError> {
    let values = pod::ActiveModel {
        boot_id: Set(Some(boot_id.to_owned())),
        ..Default::default()
    };
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    let same = of(who).add(pod::Column::Asked.eq(asked));
    let changed = tx.update_where::<pod::Entity>(same, values).await?;
    tx.commit_unaudited(Unaudited::Observed).await?;
    Ok(changed > 0)
}

/// Uses a token up for one request. Of two that come at once, one does.
pub async fn use_up(
    store: &Store,
    row: &pod::Model,
    token_digest: &[u8],
    csr_digest: &[u8],
    now_ms: i64,
) -> Result<bool, StoreError> {
    let values = pod::ActiveModel {
        csr_digest: Set(Some(csr_digest.to_vec())),
        enrolled_at_ms: Set(Some(now_ms)),
        changed: Set(row.changed + 1),
        ..Default::default()
    };
    let unused = is(row)
        .add(pod::Column::Changed.eq(row.changed))
        .add(pod::Column::TokenDigest.eq(token_digest.to_vec()))
        .add(pod::Column::CsrDigest.is_null());
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    let changed = tx.update_where::<pod::Entity>(unused, values).await?;
    tx.commit_unaudited(Unaudited::Observed).await?;
    Ok(changed > 0)
}

/// The controller: another token, and so another pod, for what `row` asks. False when something else was asked meanwhile.
pub async fn begin_attempt(
    store: &Store,
    row: &pod::Model,
    digest: &[u8],
) -> Result<bool, StoreError> {
    let values = pod::ActiveModel {
        attempt: Set(row.attempt + 1),
        attempt_for: Set(row.asked),
        token_digest: Set(Some(digest.to_vec())),
        csr_digest: Set(None),
        enrolled_at_ms: Set(None),
        ..Default::default()
    };
    let same = is(row)
        .add(pod::Column::Asked.eq(row.asked))
        .add(pod::Column::Attempt.eq(row.attempt))
        .add(pod::Column::CsrDigest.is_null());
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    let changed = tx.update_where::<pod::Entity>(same, values).await?;
    tx.commit_unaudited(Unaudited::Observed).await?;
    Ok(changed > 0)
}

/// The controller: what it found of what `row` asks, and that it has acted on it.
pub async fn observe(
    store: &Store,
    row: &pod::Model,
    observed: &Observed,
    now_ms: i64,
) -> Result<(), StoreError> {
    let word = |step: crate::clients::cluster::Step| step.as_str().to_owned();
    let values = pod::ActiveModel {
        seen: Set(row.changed),
        phase: Set(observed.phase.as_str().to_owned()),
        step: Set(observed.step.map(word)),
        ip: Set(observed.ip.map(|ip| ip.to_string())),
        pod_uid: Set(observed.pod_uid.clone()),
        reason: Set(observed.reason.clone()),
        permanent: Set(observed.permanent),
        out_of_memory: Set(observed.out_of_memory),
        freed: Set(observed.freed),
        observed_at_ms: Set(now_ms),
        ..Default::default()
    };
    let same = is(row)
        .add(pod::Column::Asked.eq(row.asked))
        .add(pod::Column::Attempt.eq(row.attempt));
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    tx.update_where::<pod::Entity>(same, values).await?;
    tx.commit_unaudited(Unaudited::Observed).await
}

/// Forgets a container of which nothing is left.
pub async fn remove(store: &Store, id: ContainerId) -> Result<(), StoreError> {
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    let gone = Condition::all()
        .add(pod::Column::ContainerId.eq(id))
        .add(pod::Column::Wanted.eq(Wanted::Deleted.as_str()));
    tx.delete_where::<pod::Entity>(gone).await?;
    tx.commit_unaudited(Unaudited::Observed).await
}

fn is(row: &pod::Model) -> Condition {
    of(row.identity())
}

fn of(who: Identity) -> Condition {
    Condition::all()
        .add(pod::Column::WorkspaceId.eq(who.workspace))
        .add(pod::Column::ContainerId.eq(who.container))
}
