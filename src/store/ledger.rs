//! The audit log's chain: every committed change comes with entries, numbered without a gap in their organization.
//!
//! What always holds: an entry and the change that it tells of are durable together or not at all. Each entry's MAC is
//! the vault's, over the organization, the number, the MAC before it and a digest of what it says; so nobody without
//! the vault can change, insert or drop one unseen. The head of a chain is locked last in a transaction and until its
//! end, so that numbers have no gaps and two transactions cannot wait for each other.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::ActiveValue::Set;
use sea_orm::{DatabaseTransaction, EntityTrait, QuerySelect};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::StoreError;
use super::scope::Place;
use crate::kernel::{AuditEventId, OrganizationId, UserId, WorkspaceId};
use crate::vault::{MacPurpose, VaultClient, VaultError};

/// Entries, `audit_event`. Never updated, never deleted.
pub mod event {
    use sea_orm::entity::prelude::*;

    use crate::kernel::{AuditEventId, OrganizationId, UserId, WorkspaceId};

    /// A row of `audit_event`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_event")]
    pub struct Model {
        /// Whose chain.
        #[sea_orm(primary_key, auto_increment = false)]
        pub organization_id: OrganizationId,
        /// The number in the chain, from 1 without a gap.
        #[sea_orm(primary_key, auto_increment = false)]
        pub seq: i64,
        /// The entry's id, for links.
        pub id: AuditEventId,
        /// In which workspace, unless it concerns the organization or an account.
        pub workspace_id: Option<WorkspaceId>,
        /// When, milliseconds since the epoch.
        pub at_ms: i64,
        /// Who; none when the server itself acted.
        pub actor_id: Option<UserId>,
        /// The id of the session or token, or `system`, or `host` for a command on the server's machine.
        pub credential: String,
        /// Network address.
        pub address: String,
        /// The request's id, as in the log.
        pub request_id: String,
        /// `feature.verb`.
        pub action: String,
        /// An id or a name.
        pub object: String,
        /// A few words, never values.
        pub detail: String,
        /// See [`super::message`].
        pub mac: Vec<u8>,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Heads of chains, `audit_head`: one row for each organization, and one for the installation.
pub mod head {
    use sea_orm::entity::prelude::*;

    use crate::kernel::OrganizationId;

    /// A row of `audit_head`.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit_head")]
    pub struct Model {
        /// Whose chain.
        #[sea_orm(primary_key, auto_increment = false)]
        pub organization_id: OrganizationId,
        /// The number of the last entry, 0 before the first.
        pub seq: i64,
        /// Its MAC; 32 zero bytes before the first.
        pub mac: Vec<u8>,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The MAC before the first entry.
pub const GENESIS: [u8; 32] = [0; 32];

/// The chain of what concerns no organization, such as an account that belongs to none yet.
pub fn installation() -> OrganizationId {
    OrganizationId::from_uuid(uuid::Uuid::nil())
}

/// What an entry says, before it has its place in a chain.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its id.
    pub id: AuditEventId,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who; none when the server itself acts.
    pub actor: Option<UserId>,
    /// The id of a session or token, or a word.
    pub credential: String,
    /// Network address.
    pub address: String,
    /// The request's id.
    pub request_id: String,
    /// `feature.verb`.
    pub action: &'static str,
    /// An id or a name.
    pub object: String,
    /// A few words, never values.
    pub detail: String,
}

/// One or more entries: a commit asks for them, so that none is forgotten.
#[derive(Debug, Clone)]
pub struct Entries {
    first: Entry,
    more: Vec<Entry>,
}

impl Entries {
    /// And another one.
    #[must_use]
    pub fn and(mut self, entry: Entry) -> Self {
        self.more.push(entry);
        self
    }

    /// And all of those.
    #[must_use]
    pub fn and_all(mut self, others: Self) -> Self {
        self.more.extend(others.into_iter());
        self
    }

    /// The details of each, in order.
    #[cfg(test)]
    pub fn details(&self) -> impl Iterator<Item = &str> {
        let all = std::iter::once(&self.first).chain(&self.more);
        all.map(|entry| entry.detail.as_str())
    }

    fn into_iter(self) -> impl Iterator<Item = Entry> {
        std::iter::once(self.first).chain(self.more)
    }
}

impl From<Entry> for Entries {
    fn from(first: Entry) -> Self {
        Self {
            first,
            more: Vec::new(),
        }
    }
}

/// Why a change needs no entry. The list is counted by a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unaudited {
    /// When a session or token was last used.
    LastSeen,
    /// What the controller observed of a container that somebody else's entry asked for.
    Observed,
    /// The text of a conversation whose turn has its entry.
    Transcript,
    /// What a one-time link or a guess at a code used up; what it led to has its entry.
    UsedUp,
    /// What has expired, and the server's own notes about its work.
    Housekeeping,
}

impl Unaudited {
    /// All reasons, for the test that counts them.
    pub const ALL: [Self; 5] = [
        Self::LastSeen,
        Self::Observed,
        Self::Transcript,
        Self::UsedUp,
        Self::Housekeeping,
    ];
}

/// What a [`Seal`] promises to give.
pub type Sealing<'a> = Pin<Box<dyn Future<Output = Result<[u8; 32], VaultError>> + Send + 'a>>;

/// Gives messages their MACs; the vault does, and in unit tests a key of the test's own.
pub trait Seal: Send + Sync {
    /// The MAC of `message`.
    fn seal<'a>(&'a self, message: &'a [u8]) -> Sealing<'a>;
}

impl Seal for VaultClient {
    fn seal<'a>(&'a self, message: &'a [u8]) -> Sealing<'a> {
        Box::pin(self.mac(MacPurpose::Audit, message))
    }
}

/// For unit tests: a MAC that only tells messages apart.
#[cfg(test)]
pub struct TestSeal;

#[cfg(test)]
impl Seal for TestSeal {
    fn seal<'a>(&'a self, message: &'a [u8]) -> Sealing<'a> {
        Box::pin(std::future::ready(Ok(Sha256::digest(message).into())))
    }
}

/// The last entry of a chain that was committed by this process.
#[derive(Debug, Clone)]
pub struct Head {
    /// Whose chain.
    pub organization: OrganizationId,
    /// The number of the entry.
    pub seq: i64,
    /// What its MAC is over.
    pub message: Vec<u8>,
    /// Its MAC.
    pub mac: [u8; 32],
}

/// Appends to chains, and remembers what was committed for those who carry it on. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    seal: Arc<dyn Seal>,
    heads: Arc<Mutex<BTreeMap<OrganizationId, Head>>>,
    grown: Arc<Notify>,
}

impl Ledger {
    pub(super) fn new(seal: Arc<dyn Seal>) -> Self {
        Self {
            seal,
            heads: Arc::default(),
            grown: Arc::default(),
        }
    }

    /// Woken after commits that added entries.
    pub fn grown(&self) -> &Notify {
        &self.grown
    }

    /// The heads that were committed since this was last asked.
    pub fn take_heads(&self) -> Vec<Head> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *heads).into_values().collect()
    }

    pub(super) fn committed(&self, sealed: Vec<Head>) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        for head in sealed {
            let newer = heads
                .get(&head.organization)
                .is_none_or(|known| known.seq < head.seq);
            if newer {
                heads.insert(head.organization, head);
            }
        }
        drop(heads);
        self.grown.notify_waiters();
    }

    /// Appends `entries` to the chain of each place, in the transaction of the change that they tell of.
    pub(super) async fn append(
        &self,
        tx: &DatabaseTransaction,
        places: &[Place],
        entries: Entries,
    ) -> Result<Vec<Head>, StoreError> {
        let mut places = places.to_vec();
        // Always in the same order, so that two transactions cannot hold what the other waits for.
        places.sort_by_key(|place| place.organization);
        places.dedup_by_key(|place| place.organization);
        let entries: Vec<Entry> = entries.into_iter().collect();
        let mut sealed = Vec::with_capacity(places.len());
        for place in places {
            sealed.push(self.append_to(tx, place, &entries).await?);
        }
        Ok(sealed)
    }

    async fn append_to(
        &self,
        tx: &DatabaseTransaction,
        place: Place,
        entries: &[Entry],
    ) -> Result<Head, StoreError> {
        let head = head::Entity::find_by_id(place.organization)
            .lock_exclusive()
            .one(tx)
            .await?
            .ok_or(StoreError::NoChain(place.organization))?;
        let (mut seq, mut mac) = (head.seq, head.mac);
        let mut last = Vec::new();
        for entry in entries {
            seq += 1;
            let mut row = event::Model {
                organization_id: place.organization,
                seq,
                id: entry.id,
                workspace_id: place.workspace,
                at_ms: entry.at_ms,
                actor_id: entry.actor,
                credential: entry.credential.clone(),
                address: entry.address.clone(),
                request_id: entry.request_id.clone(),
                action: entry.action.to_owned(),
                object: entry.object.clone(),
                detail: entry.detail.clone(),
                mac: Vec::new(),
            };
            last = message(&row, &mac);
            mac = self
                .seal
                .seal(&last)
                .await
                .map_err(StoreError::Unsealed)?
                .to_vec();
            row.mac.clone_from(&mac);
            event::Entity::insert(event::ActiveModel::from(row))
                .exec_without_returning(tx)
                .await?;
        }
        head::Entity::update(head::ActiveModel {
            organization_id: Set(place.organization),
            seq: Set(seq),
            mac: Set(mac.clone()),
        })
        .exec(tx)
        .await?;
        let mac = mac
            .try_into()
            .map_err(|_| StoreError::NoChain(place.organization))?;
        Ok(Head {
            organization: place.organization,
            seq,
            message: last,
            mac,
        })
    }
}

/// What the MAC of an entry is over: organization (16 bytes), number (8, big endian), the MAC before it, and SHA-256 of
/// [`content`].
pub fn message(row: &event::Model, before: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + 8 + 32 + 32);
    bytes.extend_from_slice(&row.organization_id.bytes());
    bytes.extend_from_slice(&row.seq.to_be_bytes());
    bytes.extend_from_slice(before);
    bytes.extend_from_slice(&Sha256::digest(content(row)));
    bytes
}

/// Everything that an entry says, each field behind its length in 4 bytes, so that no two entries have the same bytes.
fn content(row: &event::Model) -> Vec<u8> {
    let workspace = row.workspace_id.map(WorkspaceId::bytes);
    let actor = row.actor_id.map(UserId::bytes);
    let fields: [&[u8]; 11] = [
        b"optidev audit 1",
        &row.id.bytes(),
        workspace.as_ref().map_or(&[], |id| id.as_slice()),
        &row.at_ms.to_be_bytes(),
        actor.as_ref().map_or(&[], |id| id.as_slice()),
        row.credential.as_bytes(),
        row.address.as_bytes(),
        row.request_id.as_bytes(),
        row.action.as_bytes(),
        row.object.as_bytes(),
        row.detail.as_bytes(),
    ];
    let mut bytes = Vec::new();
    for field in fields {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}
