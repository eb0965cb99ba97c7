//! Statements that carry their workspace.

use sea_orm::sea_query::{IntoCondition, SimpleExpr};
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::StoreError;
use crate::kernel::WorkspaceId;

/// An entity whose rows belong to a workspace; implemented by [`tenant_entity!`](crate::tenant_entity).
pub trait Tenant: EntityTrait {
    /// The column that holds the workspace.
    fn scope_column() -> Self::Column;
    /// Sets the workspace of a row to be written.
    fn set_scope(model: &mut Self::ActiveModel, workspace: WorkspaceId);
}

/// A transaction bound to one workspace. Dropped without [`ScopedTx::commit`], it leaves nothing behind.
pub struct ScopedTx {
    tx: DatabaseTransaction,
    workspace: WorkspaceId,
}

impl ScopedTx {
    pub(super) fn new(tx: DatabaseTransaction, workspace: WorkspaceId) -> Self {
        Self { tx, workspace }
    }

    /// The workspace of this transaction.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Rows of `E` in this workspace.
    pub fn find<E: Tenant>(&self) -> ScopedSelect<'_, E> {
        ScopedSelect {
            select: E::find().filter(scope_condition::<E>(self.workspace)),
            tx: &self.tx,
        }
    }

    /// Adds a row to this workspace, whatever workspace the model named.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when a unique value is taken.
    pub async fn insert<E, A>(&self, model: A) -> Result<E::Model, StoreError>
    where
        E: Tenant<ActiveModel = A>,
        A: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
        E::Model: IntoActiveModel<A>,
    {
        let mut model = model;
        E::set_scope(&mut model, self.workspace);
        Ok(E::insert(model).exec_with_returning(&self.tx).await?)
    }

    /// Changes one row of this workspace, found by its primary key.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when this workspace has no such row.
    pub async fn update<E, A>(&self, model: A) -> Result<E::Model, StoreError>
    where
        E: Tenant<ActiveModel = A>,
        A: ActiveModelTrait<Entity = E> + ActiveModelBehavior + Send,
        E::Model: IntoActiveModel<A>,
    {
        let mut model = model;
        E::set_scope(&mut model, self.workspace);
        let statement = E::update(model)
            .validate()?
            .filter(E::scope_column().eq(self.workspace));
        Ok(statement.exec(&self.tx).await?)
    }

    /// Changes all rows of `E` in this workspace that the filters leave.
    pub fn update_many<E: Tenant>(&self) -> ScopedUpdate<'_, E> {
        ScopedUpdate {
            update: E::update_many().filter(E::scope_column().eq(self.workspace)),
            tx: &self.tx,
        }
    }

    /// Deletes all rows of `E` in this workspace that the filters leave.
    pub fn delete_many<E: Tenant>(&self) -> ScopedDelete<'_, E> {
        ScopedDelete {
            delete: E::delete_many().filter(E::scope_column().eq(self.workspace)),
            tx: &self.tx,
        }
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing was written then.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.tx.commit().await?)
    }
}

#[cfg(all(feature = "no-scope-filter", not(debug_assertions)))]
compile_error!(
    "no-scope-filter shows every workspace to everybody: it is for one test, never for a release"
);

/// What keeps a SELECT to its workspace.
#[cfg(not(feature = "no-scope-filter"))]
fn scope_condition<E: Tenant>(workspace: WorkspaceId) -> SimpleExpr {
    E::scope_column().eq(workspace)
}

/// The filter as if it had been forgotten: a test asks whether PostgreSQL's policies hold without it.
#[cfg(feature = "no-scope-filter")]
fn scope_condition<E: Tenant>(_: WorkspaceId) -> SimpleExpr {
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
pub struct ScopedUpdate<'tx, E: EntityTrait> {
    update: sea_orm::UpdateMany<E>,
    tx: &'tx DatabaseTransaction,
}

impl<E: Tenant> ScopedUpdate<'_, E> {
    /// Keeps to rows that meet `condition` too.
    pub fn filter(mut self, condition: impl IntoCondition) -> Self {
        self.update = QueryFilter::filter(self.update, condition);
        self
    }

    /// Sets `column` to `value`. The workspace of a row cannot be set: such a call changes nothing.
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
