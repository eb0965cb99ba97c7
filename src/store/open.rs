//! Opening the database: SQLite in the data folder, or PostgreSQL by one line of configuration.

use std::path::Path;
use std::time::{Duration, Instant};

use optidev_migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};

use super::postgres::{self, Address};
use super::{Grant, OpenError, Permission, ScopedTx, StoreError, SystemPurpose, SystemTx};
use crate::config::DatabaseConfig;

/// The database. Cheap to clone; the pool inside never leaves this module.
#[derive(Clone)]
pub struct Store {
    pool: DatabaseConnection,
    /// So long a transaction may take to begin, on PostgreSQL.
    patience: Duration,
    /// So often beginning is tried: each connection of the pool may have broken, and shows it once.
    tries: u32,
}

/// Reading transactions may run side by side; on SQLite a writing one must say so when it begins.
#[derive(Clone, Copy)]
enum Mode {
    Read,
    Write,
}

impl Store {
    /// What is wrong with the settings, without connecting.
    ///
    /// # Errors
    /// [`OpenError::Setting`] naming the setting and the remedy.
    pub fn check_settings(config: &DatabaseConfig) -> Result<(), OpenError> {
        if config.max_connections == 0 {
            return Err(OpenError::Setting(
                "[database] max_connections is 0: at least 1 is needed, 8 is the default"
                    .to_owned(),
            ));
        }
        if !config.url.is_empty() {
            Address::runtime(config)?;
        }
        if !config.migrate_url.is_empty() {
            Address::owner(config)?;
        }
        Ok(())
    }

    /// Opens the database. An SQLite file is made when it is not there, and [`Store::migrate_embedded`] comes next. On
    /// PostgreSQL nothing is changed: a schema that `optidev migrate` must bring up to date first is refused, and so is a
    /// role that row level security would not hold.
    ///
    /// # Errors
    /// [`OpenError`] with the remedy.
    pub async fn open(config: &DatabaseConfig, sqlite: &Path) -> Result<Self, OpenError> {
        Self::check_settings(config)?;
        let patience = Duration::from_millis(config.acquire_timeout_ms);
        let pool = if config.url.is_empty() {
            embedded(config, sqlite).await?
        } else {
            let address = Address::runtime(config)?;
            let mut connection = postgres::one(&address, patience).await?;
            postgres::check(&mut connection, &address).await?;
            postgres::pool(&address, config).into()
        };
        Ok(Self {
            pool,
            patience,
            tries: config.max_connections.saturating_add(1),
        })
    }

    /// Brings the schema of an SQLite file up to date; PostgreSQL's is `optidev migrate`'s alone. Safe to call again.
    ///
    /// # Errors
    /// [`StoreError::Database`] when a migration fails; nothing of that migration stays.
    pub async fn migrate_embedded(&self) -> Result<(), StoreError> {
        if self.is_shared() {
            return Ok(());
        }
        Ok(Migrator::up(&self.pool, None).await?)
    }

    /// Brings the schema up to date and ends: what `optidev migrate` does. Says what it did.
    ///
    /// # Errors
    /// [`OpenError`] when a migration fails; nothing of that migration stays.
    pub async fn migrate(config: &DatabaseConfig, sqlite: &Path) -> Result<Vec<String>, OpenError> {
        if config.url.is_empty() {
            if !config.migrate_url.is_empty() {
                return Err(OpenError::Setting(
                    "[database] migrate_url is set and url is not: name the server's own role in url; this command makes it"
                        .to_owned(),
                ));
            }
            let pool = embedded(config, sqlite).await?;
            Migrator::up(&pool, None).await?;
            pool.close().await?;
            return Ok(vec![format!("schema: {} is up to date", sqlite.display())]);
        }
        Self::check_settings(config)?;
        postgres::migrate(config).await
    }

    /// Whether several servers may work on this database: it is no file of this one's.
    pub fn is_shared(&self) -> bool {
        self.pool.get_database_backend() == DatabaseBackend::Postgres
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

    /// Begins, on another connection when the one from the pool had broken: after a restart of PostgreSQL all have.
    async fn begin(
        &self,
        mode: Mode,
        setting: (&str, &str),
    ) -> Result<DatabaseTransaction, StoreError> {
        if !self.is_shared() {
            return self.try_begin(mode, setting).await;
        }
        let started = Instant::now();
        let attempts = async {
            let mut left = self.tries;
            loop {
                left = left.saturating_sub(1);
                match self.try_begin(mode, setting).await {
                    Err(StoreError::Unavailable(_))
                        if left > 0 && started.elapsed() < self.patience => {}
                    done => return done,
                }
            }
        };
        // A connection to a machine that vanished says nothing at all.
        tokio::time::timeout(self.patience, attempts)
            .await
            .unwrap_or_else(|_| {
                Err(StoreError::Unavailable(sea_orm::DbErr::ConnectionAcquire(
                    sea_orm::ConnAcquireErr::Timeout,
                )))
            })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "set_config has no form in the query builder"
    )]
    async fn try_begin(
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

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that opens the file"
)]
async fn embedded(config: &DatabaseConfig, file: &Path) -> Result<DatabaseConnection, OpenError> {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", file.display()));
    options
        .max_connections(config.max_connections)
        .acquire_timeout(Duration::from_secs(10))
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .pragma("journal_mode", "WAL")
                // Durable across a crash of the process and of the machine: a saved row stays saved.
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "ON")
                .pragma("busy_timeout", "10000")
        });
    Ok(Database::connect(options).await?)
}
