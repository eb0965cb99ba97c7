//! Layer 1: the database. Tenancy lives here.
//!
//! What always holds:
//! - The connection pool is a private field of [`Store`]; no method gives out a connection, an executor or raw SQL.
//! - Tenant rows are reached only through [`ScopedTx`], which is opened with a [`Grant`] and adds the grant's
//!   workspace to every statement. Only `authz` can mint a `Grant`.
//! - Work that has no tenant yet goes through [`SystemTx`], which asks for a [`SystemPurpose`] by name.
//!
//! Must not import features, web or axum.
//!
//! These do not compile, and a test run fails when one of them does:
//!
//! A grant out of thin air: the key is `authz`'s alone.
//! ```compile_fail,E0423
//! let key = optidev::authz::MintKey(());
//! ```
//! A grant by its fields.
//! ```compile_fail,E0451
//! use optidev::{authz::{Role, permission::SecretsReveal}, kernel::{UserId, WorkspaceId}, store::Grant};
//! fn forge(workspace: WorkspaceId, user: UserId) -> Grant<SecretsReveal> {
//!     Grant { workspace, user, role: Role::Owner, permission: std::marker::PhantomData }
//! }
//! ```
//! A second grant from one that was given.
//! ```compile_fail,E0599
//! use optidev::{authz::permission::ProjectsRead, store::Grant};
//! fn keep(grant: &Grant<ProjectsRead>) -> Grant<ProjectsRead> { Grant::clone(grant) }
//! ```
//! A grant for one thing where another is asked for.
//! ```compile_fail,E0308
//! use optidev::{authz::permission::{ProjectsRead, SecretsReveal}, store::Grant};
//! fn reveal(_: &Grant<SecretsReveal>) {}
//! fn look(grant: &Grant<ProjectsRead>) { reveal(grant) }
//! ```
//! Tenant data without a grant.
//! ```compile_fail,E0061
//! async fn peek(store: &optidev::store::Store) { let _ = store.scoped().await; }
//! ```
//! The pool.
//! ```compile_fail,E0616
//! fn pool(store: optidev::store::Store) { let _ = store.pool; }
//! ```
//! Raw SQL through a scoped transaction.
//! ```compile_fail,E0277
//! use sea_orm::ConnectionTrait;
//! fn raw(tx: &optidev::store::ScopedTx) { fn executor(_: &impl ConnectionTrait) {} executor(tx) }
//! ```
//! Another workspace's scope on an open transaction.
//! ```compile_fail,E0616
//! fn hop(tx: &mut optidev::store::ScopedTx, other: optidev::kernel::WorkspaceId) { tx.workspace = other; }
//! ```
//! A table that is no tenant's, through a scoped transaction.
//! ```compile_fail,E0277
//! fn accounts(tx: &optidev::store::ScopedTx) { let _ = tx.find::<optidev::authz::accounts::account::Entity>(); }
//! ```

mod error;
mod grant;
mod ids;
mod open;
mod postgres;
mod scoped;
mod system;

pub use error::{OpenError, StoreError};
pub use grant::{Grant, Permission};
pub use open::Store;
pub use scoped::{ScopedDelete, ScopedSelect, ScopedTx, ScopedUpdate, Tenant};
pub use system::{SystemPurpose, SystemTx};

/// Makes an entity module's `Entity` a tenant's: its `workspace_id` column is the scope.
#[macro_export]
macro_rules! tenant_entity {
    ($module:ident) => {
        impl $crate::store::Tenant for $module::Entity {
            fn scope_column() -> $module::Column {
                $module::Column::WorkspaceId
            }
            fn set_scope(model: &mut $module::ActiveModel, workspace: $crate::kernel::WorkspaceId) {
                model.workspace_id = sea_orm::ActiveValue::Set(workspace);
            }
        }
    };
}
