//! What can go wrong with the database.

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::{DbErr, RuntimeErr, SqlErr};

use crate::kernel::{Code, Problem};

/// A statement that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with the same unique value exists.
    #[error("a row with the same unique value exists")]
    Duplicate,
    /// Other rows refer to the one to delete, or the one that a new row refers to is gone.
    #[error("rows refer to each other")]
    Referenced,
    /// The row to change is not there (any more), or belongs to another workspace.
    #[error("no such row in this scope")]
    Absent,
    /// The audit log's entry could not be sealed, so the change was not made.
    #[error("the audit entry could not be sealed")]
    Unsealed(#[source] crate::vault::VaultError),
    /// An organization without a chain: its row in `audit_head` is gone or damaged.
    #[error("the audit log of {0} has no head")]
    NoChain(crate::kernel::OrganizationId),
    /// The database is away: it cannot be reached, stops, starts, or every connection is in use.
    #[error("the database does not answer")]
    Unavailable(#[source] DbErr),
    /// Somebody else held what this needed for too long. Nothing was changed; the same again may succeed.
    #[error("the database is busy")]
    Busy(#[source] DbErr),
    /// The database refused.
    #[error("the database failed")]
    Database(#[source] DbErr),
}

/// Why the database cannot be used at all; for the person who starts the server.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is wrong.
    #[error("{0}")]
    Setting(String),
    /// The settings can be read, and PostgreSQL or what was found there does not fit.
    #[error("{0}")]
    Refused(String),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] DbErr),
    /// PostgreSQL failed.
    #[error("PostgreSQL failed")]
    Postgres(#[from] SqlxError),
}

/// SQLSTATEs (PostgreSQL's appendix A) after which the server is away or about to be.
const AWAY: [&str; 9] = [
    "57P01", // admin_shutdown
    "57P02", // crash_shutdown
    "57P03", // cannot_connect_now
    "57P05", // idle_session_timeout
    "25P03", // idle_in_transaction_session_timeout
    "25006", // read_only_sql_transaction: a standby, after a failover
    "53300", // too_many_connections
    "53100", // disk_full
    "53200", // out_of_memory
];
/// SQLSTATEs after which the same may succeed.
const BUSY: [&str; 4] = [
    "55P03", // lock_not_available: lock_timeout
    "57014", // query_canceled: statement_timeout
    "40P01", // deadlock_detected
    "40001", // serialization_failure
];

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => return Self::Duplicate,
            Some(SqlErr::ForeignKeyConstraintViolation(_)) => return Self::Referenced,
            _ => {}
        }
        let runtime = match &error {
            DbErr::RecordNotUpdated | DbErr::RecordNotFound(_) => return Self::Absent,
            DbErr::ConnectionAcquire(_) => return Self::Unavailable(error),
            DbErr::Conn(runtime) | DbErr::Exec(runtime) | DbErr::Query(runtime) => runtime,
            _ => return Self::Database(error),
        };
        let RuntimeErr::SqlxError(cause) = runtime else {
            return Self::Database(error);
        };
        match &**cause {
            SqlxError::Io(_)
            | SqlxError::Tls(_)
            | SqlxError::Protocol(_)
            | SqlxError::PoolTimedOut
            | SqlxError::PoolClosed
            | SqlxError::WorkerCrashed => Self::Unavailable(error),
            SqlxError::Database(told) => match told.code().as_deref() {
                // Class 08: connection exceptions.
                Some(code) if AWAY.contains(&code) || code.starts_with("08") => {
                    Self::Unavailable(error)
                }
                Some(code) if BUSY.contains(&code) => Self::Busy(error),
                // SQLITE_CONSTRAINT_TRIGGER: what ON DELETE RESTRICT says.
                Some("1811") if is_sqlite(&**told) => Self::Referenced,
                // SQLITE_BUSY and SQLITE_LOCKED, in the low byte of the extended code.
                Some(code)
                    if code
                        .parse::<u32>()
                        .is_ok_and(|code| matches!(code & 0xff, 5 | 6))
                        && is_sqlite(&**told) =>
                {
                    Self::Busy(error)
                }
                _ => Self::Database(error),
            },
            _ => Self::Database(error),
        }
    }
}

fn is_sqlite(told: &dyn sea_orm::sqlx::error::DatabaseError) -> bool {
    told.try_downcast_ref::<sea_orm::sqlx::sqlite::SqliteError>()
        .is_some()
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Duplicate => {
                Problem::new(Code::Conflict, "This exists already. Choose another name.")
            }
            StoreError::Absent => Problem::not_found(),
            StoreError::Referenced => Problem::new(
                Code::Conflict,
                "Something that this needs was deleted just now, or something else still needs it. Look again.",
            ),
            StoreError::Unsealed(cause) => cause.into(),
            error @ StoreError::NoChain(_) => Problem::internal(error),
            StoreError::Unavailable(cause) => Problem::unavailable(
                "The database does not answer. Try again in a moment.",
                cause,
            ),
            StoreError::Busy(cause) => Problem::unavailable(
                "The database is busy with another change of the same thing. Nothing was changed; try again in a moment.",
                cause,
            ),
            StoreError::Database(cause) => Problem::internal(cause),
        }
    }
}
