//! Opening the database: SQLite in the data folder, or PostgreSQL by one line of configuration.

use std::path::Path;
use std::time::Duration;

use optidev_migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use super::{Grant, Permission, ScopedTx, StoreError, SystemPurpose, SystemTx};
use crate::config::DatabaseConfig;

/// The database. Cheap to clone; the pool inside never leaves this module.
#[derive(Clone)]
pub struct Store {
    pool: DatabaseConnection,
}

/// Reading transactions may run side by side; on SQLite a writing one must say so when it begins.
#[derive(Clone, Copy)]
enum Mode {
    Read,
    Write,
}

impl Store {
    /// Connects; an SQLite file is made when it is not there.
    ///
    /// # Errors
    /// [`StoreError::Database`] when the address is wrong or the database does not answer.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that makes the pool"
    )]
    pub async fn open(config: &DatabaseConfig, sqlite: &Path) -> Result<Self, StoreError> {
        let embedded = config.url.is_empty();
        let url = if embedded {
            format!("sqlite://{}?mode=rwc", sqlite.display())
        } else {
            config.url.clone()
        };
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(config.max_connections)
            .acquire_timeout(Duration::from_secs(10))
            .sqlx_logging(false);
        if embedded {
            options.map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .pragma("journal_mode", "WAL")
                    // Durable across a crash of the process and of the machine: a saved row stays saved.
                    .pragma("synchronous", "FULL")
                    .pragma("foreign_keys", "ON")
                    .pragma("busy_timeout", "10000")
            });
        }
        Ok(Self {
            pool: Database::connect(options).await?,
        })
    }

    /// Brings the schema up to date. Safe to call again.
    ///
    /// # Errors
    /// [`StoreError::Database`] when a migration fails; nothing of that migration stays.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        Ok(Migrator::up(&self.pool, None).await?)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.pool.ping().await?)
    }

    /// A transaction that reads and writes rows of the grant's workspace, and no others.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn scoped<P: Permission>(&self, grant: &Grant<P>) -> Result<ScopedTx, StoreError> {
        let tx = self
            .begin(
                Mode::Write,
                ("app.workspace", &grant.workspace().uuid().to_string()),
            )
            .await?;
        Ok(ScopedTx::new(tx, grant.workspace()))
    }

    /// Like [`Store::scoped`] for reading only: does not wait for a writer.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn scoped_read<P: Permission>(
        &self,
        grant: &Grant<P>,
    ) -> Result<ScopedTx, StoreError> {
        let tx = self
            .begin(
                Mode::Read,
                ("app.workspace", &grant.workspace().uuid().to_string()),
            )
            .await?;
        Ok(ScopedTx::new(tx, grant.workspace()))
    }

    /// A transaction for work that has no tenant yet, for a purpose on the list.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn system(&self, purpose: SystemPurpose) -> Result<SystemTx, StoreError> {
        let mode = if purpose.writes() {
            Mode::Write
        } else {
            Mode::Read
        };
        Ok(SystemTx::new(
            self.begin(mode, ("app.system", purpose.as_str())).await?,
        ))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "set_config has no form in the query builder"
    )]
    async fn begin(
        &self,
        mode: Mode,
        setting: (&str, &str),
    ) -> Result<DatabaseTransaction, StoreError> {
        let options = match (self.pool.get_database_backend(), mode) {
            // A deferred transaction that turns to writing fails when another wrote meanwhile; an immediate one waits.
            (DatabaseBackend::Sqlite, Mode::Write) => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        let tx = self.pool.begin_with_options(options).await?;
        if self.pool.get_database_backend() == DatabaseBackend::Postgres {
            // Local to the transaction, so that a pooled connection carries nothing over.
            tx.execute_raw(sea_orm::Statement::from_sql_and_values(
                DatabaseBackend::Postgres,
                "SELECT set_config($1, $2, true)",
                [setting.0.into(), setting.1.into()],
            ))
            .await?;
        }
        Ok(tx)
    }
}
