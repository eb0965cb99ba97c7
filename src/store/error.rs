//! What can go wrong with the database.

use crate::kernel::{Code, Problem};

/// A statement that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with the same unique value exists.
    #[error("a row with the same unique value exists")]
    Duplicate,
    /// The row to change is not there (any more), or belongs to another workspace.
    #[error("no such row in this scope")]
    Absent,
    /// The audit log's entry could not be sealed, so the change was not made.
    #[error("the audit entry could not be sealed")]
    Unsealed(#[source] crate::vault::VaultError),
    /// An organization without a chain: its row in `audit_head` is gone or damaged.
    #[error("the audit log of {0} has no head")]
    NoChain(crate::kernel::OrganizationId),
    /// The database did not answer, or refused.
    #[error("the database failed")]
    Database(#[source] sea_orm::DbErr),
}

impl From<sea_orm::DbErr> for StoreError {
    fn from(error: sea_orm::DbErr) -> Self {
        match error.sql_err() {
            Some(sea_orm::SqlErr::UniqueConstraintViolation(_)) => Self::Duplicate,
            _ => match error {
                sea_orm::DbErr::RecordNotUpdated | sea_orm::DbErr::RecordNotFound(_) => {
                    Self::Absent
                }
                other => Self::Database(other),
            },
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate => {
                Problem::new(Code::Conflict, "This exists already. Choose another name.")
            }
            StoreError::Absent => Problem::not_found(),
            StoreError::Unsealed(cause) => cause.into(),
            error @ StoreError::NoChain(_) => Problem::internal(error),
            StoreError::Database(cause) => Problem::internal(cause),
        }
    }
}
