//! Statements that carry their workspace or organization.
//!
//! Reading and writing are two types: a [`Reading`] has no statement that changes a row, and a [`Writing`] can only be
//! made durable together with its audit entries.

use std::ops::Deref;

use sea_orm::sea_query::{IntoCondition, SimpleExpr};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::StoreError;
use super::ledger::{Entries, Ledger, Unaudited};
use super::root;
use super::scope::{Place, ScopeId};
use super::turn::Tx;
use crate::kernel::{OrganizationId, WorkspaceId};

/// An entity whose rows belong to an `S` and may be read within it.
pub trait TenantRead<S: ScopeId>: EntityTrait {
    /// The column that holds the scope.
    fn scope_column() -> Self::Column;
}

/// As [`TenantRead`], and may be written; implemented by [`tenant_entity!`](crate::tenant_entity) and
/// [`organization_entity!`](crate::organization_entity).
pub trait Tenant<S: ScopeId>: TenantRead<S> {
    /// Sets the scope of a row to be written.
    fn set_scope(model: &mut Self::ActiveModel, scope: S);
}

/// A transaction that reads the rows of one `S`.
pub struct Reading<S> {
    tx: Tx,
    scope: S,
    organization: OrganizationId,
}

/// A transaction that reads and writes the rows of one `S`. Dropped without a commit, it leaves nothing behind.
pub struct Writing<S> {
    reading: Reading<S>,
    ledger: Ledger,
}

/// Reads rows of one workspace as they were at one moment: for rows that mean something together only.
pub struct ScopedSnapshot(ScopedRead);

impl ScopedSnapshot {
    pub(super) fn new(reading: ScopedRead) -> Self {
        Self(reading)
    }
}

impl Deref for ScopedSnapshot {
    type Target = ScopedRead;

    fn deref(&self) -> &ScopedRead {
        &self.0
    }
}

/// Reads rows of one workspace.
pub type ScopedRead = Reading<WorkspaceId>;
/// Reads and writes rows of one workspace.
pub type ScopedTx = Writing<WorkspaceId>;
/// Reads rows of one organization.
pub type OrganizationRead = Reading<OrganizationId>;
/// Reads and writes rows of one organization.
pub type OrganizationTx = Writing<OrganizationId>;

impl<S> Deref for Writing<S> {
    type Target = Reading<S>;

    fn deref(&self) -> &Reading<S> {
        &self.reading
    }
}

impl<S: ScopeId> Reading<S> {
    pub(super) fn new(tx: Tx, scope: S, organization: OrganizationId) -> Self {
        Self {
            tx,
            scope,
            organization,
        }
    }

    /// The organization of this transaction.
    pub fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Rows of `E` in this scope.
    pub fn find<E: TenantRead<S>>(&self) -> ScopedSelect<'_, E> {
        ScopedSelect {
            select: E::find().filter(scope_condition::<E, S>(self.scope)),
            tx: &self.tx,
        }
    }
}

impl Reading<WorkspaceId> {
    /// The workspace of this transaction.
    pub fn workspace(&self) -> WorkspaceId {
        self.scope
    }
}

impl<S: ScopeId> Writing<S> {
    pub(super) fn new(reading: Reading<S>, ledger: Ledger) -> Self {
        Self { reading, ledger }
    }

    /// Adds a row to this scope, whatever scope the model named.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when a unique value is taken.
    pub async fn insert<E, A>(&self, model: A) -> Result<E::Model, StoreError>
    where
        E: Tenant<S, ActiveModel = A>,
        A: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
        E::Model: IntoActiveModel<A>,
    {
        let mut model = model;
        E::set_scope(&mut model, self.scope);
        Ok(E::insert(model).exec_with_returning(&*self.tx).await?)
    }

    /// Changes one row of this scope, found by its primary key.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when this scope has no such row.
    pub async fn update<E, A>(&self, model: A) -> Result<E::Model, StoreError>
    where
        E: Tenant<S, ActiveModel = A>,
        A: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
        E::Model: IntoActiveModel<A>,
    {
        let mut model = model;
        E::set_scope(&mut model, self.scope);
        let statement = E::update(model)
            .validate()?
            .filter(E::scope_column().eq(self.scope));
        Ok(statement.exec(&*self.tx).await?)
    }

    /// Changes all rows of `E` in this scope that the filters leave.
    pub fn update_many<E: Tenant<S>>(&self) -> ScopedUpdate<'_, E, S> {
        ScopedUpdate {
            update: E::update_many().filter(E::scope_column().eq(self.scope)),
            tx: &self.tx,
            scope: std::marker::PhantomData,
        }
    }

    /// Deletes all rows of `E` in this scope that the filters leave.
    pub fn delete_many<E: Tenant<S>>(&self) -> ScopedDelete<'_, E> {
        ScopedDelete {
            delete: E::delete_many().filter(E::scope_column().eq(self.scope)),
            tx: &self.tx,
        }
    }

    /// As [`SystemTx::hold_root`](super::SystemTx::hold_root).
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn hold_root(&self) -> Result<(), StoreError> {
        root::hold(&self.tx).await
    }

    async fn seal_and_commit(
        self,
        workspace: Option<WorkspaceId>,
        entries: Entries,
    ) -> Result<(), StoreError> {
        let place = Place {
            organization: self.organization,
            workspace,
        };
        let sealed = self.ledger.append(&self.tx, &[place], entries).await?;
        self.reading.tx.commit().await?;
        self.ledger.committed(sealed);
        Ok(())
    }

    /// Makes everything durable without an entry, for a reason on the list.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing was written then.
    pub async fn commit_unaudited(self, _: Unaudited) -> Result<(), StoreError> {
        Ok(self.reading.tx.commit().await?)
    }
}

impl Writing<WorkspaceId> {
    /// Makes everything durable, together with what the audit log says of it.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Unsealed`]; nothing was written then.
    pub async fn commit(self, entries: impl Into<Entries> + Send) -> Result<(), StoreError> {
        let workspace = self.scope;
        self.seal_and_commit(Some(workspace), entries.into()).await
    }
}

impl Writing<OrganizationId> {
    /// Makes everything durable, together with what the audit log says of it.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Unsealed`]; nothing was written then.
    pub async fn commit(self, entries: impl Into<Entries> + Send) -> Result<(), StoreError> {
        self.seal_and_commit(None, entries.into()).await
    }
}

#[cfg(all(feature = "no-scope-filter", not(debug_assertions)))]
compile_error!(
    "no-scope-filter shows every workspace to everybody: it is for one test, never for a release"
);

/// What keeps a SELECT to its scope.
#[cfg(not(feature = "no-scope-filter"))]
fn scope_condition<E: TenantRead<S>, S: ScopeId>(scope: S) -> SimpleExpr {
    E::scope_column().eq(scope)
}

/// The filter as if it had been forgotten: a test asks whether PostgreSQL's policies hold without it.
#[cfg(feature = "no-scope-filter")]
fn scope_condition<E: TenantRead<S>, S: ScopeId>(_: S) -> SimpleExpr {
    sea_orm::sea_query::Expr::val(true).into()
}

/// A SELECT within the scope; conditions can only narrow it.
#[must_use]
pub struct ScopedSelect<'tx, E: EntityTrait> {
    select: sea_orm::Select<E>,
    tx: &'tx DatabaseTransaction,
}

impl<E> ScopedSelect<'_, E>
where
    E: EntityTrait,
    E::Model: Send + Sync,
{
    /// Keeps rows that meet `condition` too.
    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.select = QueryFilter::filter(self.select, condition);
        self
    }

    /// Sorts by `column`.
    pub fn order_by(mut self, column: E::Column, order: Order) -> Self {
        self.select = QueryOrder::order_by(self.select, column, order);
        self
    }

    /// Keeps others from changing the rows until the transaction ends. Transactions that lock several lock them in the
    /// same order.
    pub fn for_update(mut self) -> Self {
        self.select = QuerySelect::lock_exclusive(self.select);
        self
    }

    /// Keeps others from changing the rows until the transaction ends, and not from doing the same.
    pub fn for_share(mut self) -> Self {
        self.select = QuerySelect::lock_shared(self.select);
        self
    }

    /// At most `rows`.
    pub fn limit(mut self, rows: u64) -> Self {
        self.select = QuerySelect::limit(self.select, rows);
        self
    }

    /// The first row, if any.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn one(self) -> Result<Option<E::Model>, StoreError> {
        Ok(self.select.one(self.tx).await?)
    }

    /// All rows.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn all(self) -> Result<Vec<E::Model>, StoreError> {
        Ok(self.select.all(self.tx).await?)
    }

    /// How many rows.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn count(self) -> Result<u64, StoreError> {
        Ok(self.select.count(self.tx).await?)
    }
}

/// An UPDATE of many rows within the scope.
#[must_use]
pub struct ScopedUpdate<'tx, E: EntityTrait, S> {
    update: sea_orm::UpdateMany<E>,
    tx: &'tx DatabaseTransaction,
    scope: std::marker::PhantomData<fn() -> S>,
}

impl<E: Tenant<S>, S: ScopeId> ScopedUpdate<'_, E, S> {
    /// Keeps to rows that meet `condition` too.
    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.update = QueryFilter::filter(self.update, condition);
        self
    }

    /// Sets `column` to `value`. The scope of a row cannot be set: such a call changes nothing.
    pub fn set(mut self, column: E::Column, value: impl Into<SimpleExpr>) -> Self {
        if sea_orm::IdenStatic::as_str(&column) != sea_orm::IdenStatic::as_str(&E::scope_column()) {
            self.update = self.update.col_expr(column, value.into());
        }
        self
    }

    /// Runs it and says how many rows changed.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn exec(self) -> Result<u64, StoreError> {
        Ok(self.update.exec(self.tx).await?.rows_affected)
    }
}

/// A DELETE within the scope.
#[must_use]
pub struct ScopedDelete<'tx, E: EntityTrait> {
    delete: sea_orm::DeleteMany<E>,
    tx: &'tx DatabaseTransaction,
}

impl<E: EntityTrait> ScopedDelete<'_, E> {
    /// Keeps to rows that meet `condition` too.
    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.delete = QueryFilter::filter(self.delete, condition);
        self
    }

    /// Runs it and says how many rows went.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn exec(self) -> Result<u64, StoreError> {
        Ok(self.delete.exec(self.tx).await?.rows_affected)
    }
}
