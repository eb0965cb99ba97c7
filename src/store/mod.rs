//! Layer 1: the database. Tenancy lives here.
//!
//! What always holds:
//! - The connection pool is a private field of [`Store`]; no method gives out a connection, an executor or raw SQL.
//! - Tenant rows are reached only through [`ScopedTx`], which is opened with a [`Grant`] and adds the grant's
//!   workspace to every statement. Only `authz` can mint a `Grant`. An organization's rows have [`OrganizationTx`] and
//!   [`OrganizationGrant`], which reach no workspace's rows.
//! - A change is committed with its audit entries ([`ledger`]) or for one of the reasons in [`Unaudited`].
//! - Work that has no tenant yet goes through [`SystemTx`], which asks for a [`SystemPurpose`] by name.
//!
//! Must not import features, web or axum.
//!
//! What must not compile is in `tests/compile-fail/`.

mod error;
mod grant;
mod ids;
pub mod ledger;
mod open;
mod postgres;
mod root;
mod scope;
mod scoped;
mod system;
mod turn;

pub use error::{OpenError, StoreError};
pub use grant::{Grant, OrganizationGrant, Permission};
pub use ledger::{Entries, Entry, Ledger, Seal, Unaudited};
pub use open::Store;
pub use scope::ScopeId;
pub use scoped::{
    OrganizationRead, OrganizationTx, Reading, ScopedDelete, ScopedRead, ScopedSelect,
    ScopedSnapshot, ScopedTx, ScopedUpdate, Tenant, TenantRead, Writing,
};
pub use system::{SystemPurpose, SystemTx};

/// Makes an entity module's `Entity` a workspace's: its `workspace_id` column is the scope.
#[macro_export]
macro_rules! tenant_entity {
    ($module:ident) => {
        $crate::scoped_entity!(
            $module,
            $crate::kernel::WorkspaceId,
            WorkspaceId,
            workspace_id
        );
    };
}

/// Makes an entity module's `Entity` an organization's: its `organization_id` column is the scope.
#[macro_export]
macro_rules! organization_entity {
    ($module:ident) => {
        $crate::scoped_entity!(
            $module,
            $crate::kernel::OrganizationId,
            OrganizationId,
            organization_id
        );
    };
}

/// Makes an entity module's `Entity` a `$scope`'s, by the named column and field.
#[macro_export]
macro_rules! scoped_entity {
    ($module:ident, $scope:ty, $column:ident, $field:ident) => {
        impl $crate::store::TenantRead<$scope> for $module::Entity {
            fn scope_column() -> $module::Column {
                $module::Column::$column
            }
        }
        impl $crate::store::Tenant<$scope> for $module::Entity {
            fn set_scope(model: &mut $module::ActiveModel, scope: $scope) {
                model.$field = sea_orm::ActiveValue::Set(scope);
            }
        }
    };
}
