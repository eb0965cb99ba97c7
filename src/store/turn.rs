//! Transactions, and the turns of those that write to an SQLite file.
//!
//! SQLite lets one write at a time. A connection that finds another writing asks again after pauses that grow, which leaves the
//! file idle and lets a latecomer pass; so the server's own writers queue here, before they take a connection from the pool.
//! Other processes, such as a rotation of the master, are met in SQLite's way.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnAcquireErr, DatabaseTransaction, DbErr};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::error::StoreError;

/// Where writers of one file queue: first come, first served.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<()>>);

impl Turns {
    /// Waits for the turn to write.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it does not come within `patience`.
    pub async fn take(&self, patience: Duration) -> Result<Turn, StoreError> {
        let turn = Arc::clone(&self.0).lock_owned();
        match tokio::time::timeout(patience, turn).await {
            Ok(turn) => Ok(Turn(turn)),
            Err(_) => Err(StoreError::Unavailable(DbErr::ConnectionAcquire(
                ConnAcquireErr::Timeout,
            ))),
        }
    }
}

/// The turn to write; it ends when this is dropped.
pub struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedMutexGuard<()>);

/// A transaction, with its turn where it has one.
pub struct Tx {
    tx: DatabaseTransaction,
    turn: Option<Turn>,
}

impl Tx {
    /// With the turn that it writes in.
    pub const fn new(tx: DatabaseTransaction, turn: Option<Turn>) -> Self {
        Self { tx, turn }
    }

    /// Makes what was written durable, and then lets the next one write.
    ///
    /// # Errors
    /// When the database does not answer; nothing was written then.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { tx, turn } = self;
        let done = tx.commit().await;
        drop(turn);
        done
    }
}

impl Deref for Tx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.tx
    }
}
