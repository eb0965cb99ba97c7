//! Layer 1: the database. Tenancy lives here.
//!
//! What always holds:
//! - The connection pool is a private field of [`Store`]; no method gives out a connection, an executor or raw SQL.
//! - Tenant rows are reached only through [`ScopedTx`], which is opened with a [`Grant`] and adds the grant's
//!   workspace to every statement. Only `authz` can mint a `Grant`.
//! - Work that has no tenant yet goes through [`SystemTx`], which asks for a [`SystemPurpose`] by name.
//!
//! Must not import features, web or axum.

mod error;
mod grant;
mod ids;
mod open;
mod scoped;
mod system;

pub use error::StoreError;
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
