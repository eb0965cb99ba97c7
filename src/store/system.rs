//! Work that has no tenant yet. The list of purposes is counted by a test and may only shrink.

use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, EntityTrait, IntoActiveModel, QueryFilter, Select,
    sea_query::IntoCondition,
};

use super::StoreError;
use super::ledger::{Entries, Ledger, Unaudited, installation};
use super::root;
use super::scope::Place;
use super::turn::Tx;
use crate::kernel::{OrganizationId, WorkspaceId};

/// Why a transaction without a workspace is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemPurpose {
    /// Reads accounts, sessions and tokens of whoever is signing in.
    SignInRead,
    /// Writes accounts, sessions, tokens and set-up codes.
    SignInWrite,
    /// Reads the memberships of one user, to mint grants and to list their workspaces.
    Memberships,
    /// Makes an organization, or a workspace, with its first owner.
    Setup,
    /// Reads what holds for containers, in all workspaces: which are wanted, and what they may reach.
    ContainerScan,
    /// The controller writes what it observed of one container.
    ContainerObserve,
    /// Reads and checks the chains of all organizations: verification, and carrying entries on.
    AuditRead,
    /// Sweeps what has expired, and notes how far entries were carried.
    Housekeeping,
    /// Puts what is sealed under the root keys of the vault under the newest of them.
    Rotation,
    /// Reads a credential of the installation, sealed.
    Credentials,
}

impl SystemPurpose {
    /// All purposes, for the test that counts them.
    pub const ALL: [Self; 10] = [
        Self::SignInRead,
        Self::SignInWrite,
        Self::Memberships,
        Self::Setup,
        Self::ContainerScan,
        Self::ContainerObserve,
        Self::AuditRead,
        Self::Housekeeping,
        Self::Rotation,
        Self::Credentials,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SignInRead => "sign_in_read",
            Self::SignInWrite => "sign_in_write",
            Self::Memberships => "memberships",
            Self::Setup => "setup",
            Self::ContainerScan => "container_scan",
            Self::ContainerObserve => "container_observe",
            Self::AuditRead => "audit_read",
            Self::Housekeeping => "housekeeping",
            Self::Rotation => "rotation",
            Self::Credentials => "credentials",
        }
    }

    pub(super) fn writes(self) -> bool {
        matches!(
            self,
            Self::SignInWrite
                | Self::Setup
                | Self::ContainerObserve
                | Self::Housekeeping
                | Self::Rotation
        )
    }
}

/// A transaction without a workspace.
pub struct SystemTx {
    tx: Tx,
    ledger: Ledger,
}

impl SystemTx {
    pub(super) fn new(tx: Tx, ledger: Ledger) -> Self {
        Self { tx, ledger }
    }

    /// The first row that the query finds.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn one<E: EntityTrait>(
        &self,
        query: Select<E>,
    ) -> Result<Option<E::Model>, StoreError> {
        Ok(query.one(&*self.tx).await?)
    }

    /// All rows that the query finds.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn all<E: EntityTrait>(&self, query: Select<E>) -> Result<Vec<E::Model>, StoreError> {
        Ok(query.all(&*self.tx).await?)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when a unique value is taken.
    pub async fn insert<A>(&self, model: A) -> Result<<A::Entity as EntityTrait>::Model, StoreError>
    where
        A: ActiveModelTrait + ActiveModelBehavior + Send,
        <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
    {
        Ok(<A::Entity as EntityTrait>::insert(model)
            .exec_with_returning(&*self.tx)
            .await?)
    }

    /// Changes one row, found by its primary key.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is no such row.
    pub async fn update<A>(&self, model: A) -> Result<<A::Entity as EntityTrait>::Model, StoreError>
    where
        A: ActiveModelTrait + ActiveModelBehavior + Send,
        <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
    {
        Ok(<A::Entity as EntityTrait>::update(model)
            .exec(&*self.tx)
            .await?)
    }

    /// Sets columns of the rows that meet `condition`, and says how many there were.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn update_where<E: EntityTrait>(
        &self,
        condition: impl IntoCondition,
        values: E::ActiveModel,
    ) -> Result<u64, StoreError> {
        Ok(E::update_many()
            .set(values)
            .filter(condition)
            .exec(&*self.tx)
            .await?
            .rows_affected)
    }

    /// Deletes the rows that meet `condition`, and says how many there were.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn delete_where<E: EntityTrait>(
        &self,
        condition: impl IntoCondition,
    ) -> Result<u64, StoreError> {
        Ok(E::delete_many()
            .filter(condition)
            .exec(&*self.tx)
            .await?
            .rows_affected)
    }

    /// Keeps a rotation of the master waiting until this transaction ends: what the vault seals from here on, and what is
    /// written of it, a rotation finds.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn hold_root(&self) -> Result<(), StoreError> {
        root::hold(&self.tx).await
    }

    /// Waits for the end of every transaction that holds the root keys, and keeps others from beginning to.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn wait_for_holders(&self) -> Result<(), StoreError> {
        root::wait(&self.tx).await
    }

    /// Makes everything durable, together with what the audit log of each of these organizations says of it; without
    /// any, that of the installation.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Unsealed`]; nothing was written then.
    pub async fn commit(
        self,
        organizations: &[OrganizationId],
        entries: impl Into<Entries> + Send,
    ) -> Result<(), StoreError> {
        let of = |organization| Place {
            organization,
            workspace: None,
        };
        let mut places: Vec<Place> = organizations.iter().copied().map(of).collect();
        if places.is_empty() {
            places.push(of(installation()));
        }
        self.commit_at(&places, entries.into()).await
    }

    /// As [`SystemTx::commit`], for a change in one workspace.
    ///
    /// # Errors
    /// As [`SystemTx::commit`].
    pub async fn commit_in(
        self,
        organization: OrganizationId,
        workspace: WorkspaceId,
        entries: impl Into<Entries> + Send,
    ) -> Result<(), StoreError> {
        let place = Place {
            organization,
            workspace: Some(workspace),
        };
        self.commit_at(&[place], entries.into()).await
    }

    async fn commit_at(self, places: &[Place], entries: Entries) -> Result<(), StoreError> {
        let sealed = self.ledger.append(&self.tx, places, entries).await?;
        self.tx.commit().await?;
        self.ledger.committed(sealed);
        Ok(())
    }

    /// Makes everything durable without an entry, for a reason on the list.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing was written then.
    pub async fn commit_unaudited(self, _: Unaudited) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}
