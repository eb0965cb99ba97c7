//! Opening the database: SQLite in the data folder, or PostgreSQL by one line of configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use optidev_migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseBackend, DatabaseConnection,
    DatabaseTransaction, IsolationLevel, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

use super::ledger::{Ledger, Seal};
use super::postgres::{self, Address};
use super::scope::Place;
use super::turn::{Turns, Tx};
use super::{
    Grant, OpenError, OrganizationGrant, OrganizationRead, OrganizationTx, Permission, ScopedRead,
    ScopedSnapshot, ScopedTx, StoreError, SystemPurpose, SystemTx,
};
use crate::config::DatabaseConfig;

/// So long a transaction on an SQLite file may take to begin: what runs before it is short.
const EMBEDDED_PATIENCE: Duration = Duration::from_secs(10);

/// The database. Cheap to clone; the pool inside never leaves this module.
#[derive(Clone)]
pub struct Store {
    pool: DatabaseConnection,
    ledger: Ledger,
    /// Of who writes to an SQLite file.
    turns: Turns,
    /// So long a transaction may take to begin, on PostgreSQL.
    patience: Duration,
    /// So often beginning is tried: each connection of the pool may have broken, and shows it once.
    tries: u32,
}

/// Reading transactions may run side by side; on SQLite a writing one must say so when it begins.
#[derive(Clone, Copy)]
enum Mode {
    Read,
    /// As [`Mode::Read`], and all statements see the database as it was at the first.
    Snapshot,
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
        Address::controller(config)?;
        Ok(())
    }

    /// Opens the database. An SQLite file is made when it is not there, and [`Store::migrate_embedded`] comes next. On
    /// PostgreSQL nothing is changed: a schema that `optidev migrate` must bring up to date first is refused, and so is a
    /// role that row level security would not hold.
    ///
    /// # Errors
    /// [`OpenError`] with the remedy.
    pub async fn open(
        config: &DatabaseConfig,
        sqlite: &Path,
        seal: Arc<dyn Seal>,
    ) -> Result<Self, OpenError> {
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
            ledger: Ledger::new(seal),
            turns: Turns::default(),
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

    /// Connections that are in use, and that are open and idle.
    pub fn connections(&self) -> (usize, usize) {
        let (open, idle) = match self.pool.get_database_backend() {
            DatabaseBackend::Postgres => {
                let pool = self.pool.get_postgres_connection_pool();
                (pool.size(), pool.num_idle())
            }
            _ => {
                let pool = self.pool.get_sqlite_connection_pool();
                (pool.size(), pool.num_idle())
            }
        };
        let open = usize::try_from(open).unwrap_or_default();
        (open.saturating_sub(idle), idle)
    }

    /// What carries the audit log's new entries on.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A transaction that reads and writes rows of the grant's workspace, and no others.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn scoped<P: Permission>(&self, grant: &Grant<P>) -> Result<ScopedTx, StoreError> {
        let reading = self.workspace(grant, Mode::Write).await?;
        Ok(ScopedTx::new(reading, self.ledger.clone()))
    }

    /// Like [`Store::scoped`] for reading only: does not wait for a writer.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn scoped_read<P: Permission>(
        &self,
        grant: &Grant<P>,
    ) -> Result<ScopedRead, StoreError> {
        self.workspace(grant, Mode::Read).await
    }

    /// Like [`Store::scoped_read`], and what its statements read is of one moment. On SQLite every reading transaction
    /// is so; PostgreSQL takes a round trip more for it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn scoped_snapshot<P: Permission>(
        &self,
        grant: &Grant<P>,
    ) -> Result<ScopedSnapshot, StoreError> {
        let reading = self.workspace(grant, Mode::Snapshot).await?;
        Ok(ScopedSnapshot::new(reading))
    }

    async fn workspace<P: Permission>(
        &self,
        grant: &Grant<P>,
        mode: Mode,
    ) -> Result<ScopedRead, StoreError> {
        let place = Place {
            organization: grant.organization(),
            workspace: Some(grant.workspace()),
        };
        let tx = self.begin(mode, Setting::Place(place)).await?;
        Ok(ScopedRead::new(tx, grant.workspace(), grant.organization()))
    }

    /// A transaction that reads and writes rows of the grant's organization, and no others.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn organization(
        &self,
        grant: &OrganizationGrant,
    ) -> Result<OrganizationTx, StoreError> {
        let reading = self.of_organization(grant, Mode::Write).await?;
        Ok(OrganizationTx::new(reading, self.ledger.clone()))
    }

    /// Like [`Store::organization`] for reading only.
    ///
    /// # Errors
    /// [`StoreError::Database`] when no connection can be had.
    pub async fn organization_read(
        &self,
        grant: &OrganizationGrant,
    ) -> Result<OrganizationRead, StoreError> {
        self.of_organization(grant, Mode::Read).await
    }

    async fn of_organization(
        &self,
        grant: &OrganizationGrant,
        mode: Mode,
    ) -> Result<OrganizationRead, StoreError> {
        let organization = grant.organization();
        let place = Place {
            organization,
            workspace: None,
        };
        let tx = self.begin(mode, Setting::Place(place)).await?;
        Ok(OrganizationRead::new(tx, organization, organization))
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
        let tx = self.begin(mode, Setting::System(purpose)).await?;
        Ok(SystemTx::new(tx, self.ledger.clone()))
    }

    /// Begins, on another connection when the one from the pool had broken: after a restart of PostgreSQL all have.
    async fn begin(&self, mode: Mode, setting: Setting) -> Result<Tx, StoreError> {
        if !self.is_shared() {
            let turn = match mode {
                Mode::Write => Some(self.turns.take(EMBEDDED_PATIENCE).await?),
                Mode::Read | Mode::Snapshot => None,
            };
            return Ok(Tx::new(self.try_begin(mode, setting).await?, turn));
        }
        let started = Instant::now();
        let attempts = async {
            let mut left = self.tries;
            loop {
                left = left.saturating_sub(1);
                match self.try_begin(mode, setting).await {
                    Err(StoreError::Unavailable(_))
                        if left > 0 && started.elapsed() < self.patience => {}
                    done => return done.map(|tx| Tx::new(tx, None)),
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
        setting: Setting,
    ) -> Result<DatabaseTransaction, StoreError> {
        let options = match (self.pool.get_database_backend(), mode) {
            // A deferred transaction that turns to writing fails when another wrote meanwhile; an immediate one waits.
            (DatabaseBackend::Sqlite, Mode::Write) => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..Default::default()
            },
            // Reading alone, it is never refused for what others wrote meanwhile.
            (DatabaseBackend::Postgres, Mode::Snapshot) => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                ..Default::default()
            },
            _ => TransactionOptions::default(),
        };
        let tx = self.pool.begin_with_options(options).await?;
        if self.pool.get_database_backend() == DatabaseBackend::Postgres {
            // Local to the transaction, so that a pooled connection carries nothing over. All in one round trip.
            tx.execute_raw(sea_orm::Statement::from_sql_and_values(
                DatabaseBackend::Postgres,
                "SELECT set_config('app.workspace', $1, true), set_config('app.organization', $2, true), \
                 set_config('app.system', $3, true), set_config('transaction_read_only', $4, true)",
                setting.values(mode),
            ))
            .await?;
        }
        Ok(tx)
    }
}

/// What a transaction tells PostgreSQL's policies about itself.
#[derive(Clone, Copy)]
enum Setting {
    Place(Place),
    System(SystemPurpose),
}

impl Setting {
    fn values(self, mode: Mode) -> [sea_orm::Value; 4] {
        let (workspace, organization, system) = match self {
            Self::Place(place) => (
                place.workspace.map(|id| id.uuid().to_string()),
                place.organization.uuid().to_string(),
                "",
            ),
            Self::System(purpose) => (None, String::new(), purpose.as_str()),
        };
        let read_only = match mode {
            Mode::Read | Mode::Snapshot => "on",
            Mode::Write => "off",
        };
        [
            workspace.unwrap_or_default().into(),
            organization.into(),
            system.into(),
            read_only.into(),
        ]
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
        .acquire_timeout(EMBEDDED_PATIENCE)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .pragma("journal_mode", "WAL")
                // Durable across a crash of the process and of the machine: a saved row stays saved.
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "ON")
                // A confined server has no folder for temporary files.
                .pragma("temp_store", "MEMORY")
                // For other processes: this one's own writers wait for their turn.
                .pragma("busy_timeout", "10000")
        });
    Ok(Database::connect(options).await?)
}
