//! `optidev migrate`: brings the schema up to date as its owner, and makes the server's role, which may change rows only.

use std::time::Duration;

use optidev_migrations::{Migrator, MigratorTrait, tables};
use sea_orm::DatabaseConnection;
use sea_orm::sqlx::postgres::{PgConnection, PgPoolOptions};
use sea_orm::sqlx::{self, AssertSqlSafe, Connection, Error};

use super::{Address, check, one};
use crate::config::DatabaseConfig;
use crate::store::OpenError;

/// One number for all OptiDev's migrations of a database: two runs follow each other.
const LOCK: i64 = 0x6f70_7469_6465_7601;
/// So long a second run waits for the first.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a run did, in sentences.
pub type Report = Vec<String>;

/// Brings the schema up to date and grants the server's role what it needs, and nothing else. Safe to call again.
///
/// # Errors
/// [`OpenError`]; each migration is applied whole or not at all.
pub async fn migrate(config: &DatabaseConfig) -> Result<Report, OpenError> {
    let (owner, runtime) = (Address::owner(config)?, Address::runtime(config)?);
    if owner.role == runtime.role {
        return Err(OpenError::Setting(format!(
            "[database] url and migrate_url name the same role, {}: the server's role must own nothing, so that row level \
             security holds it. Name another role in url; this command makes it",
            owner.role
        )));
    }
    if owner.database != runtime.database {
        return Err(OpenError::Setting(format!(
            "[database] url names the database {} and migrate_url the database {}: they must be one",
            runtime.database, owner.database
        )));
    }
    let controller = Address::controller(config)?;
    if let Some(controller) = &controller {
        if [&owner.role, &runtime.role].contains(&&controller.role) {
            return Err(OpenError::Setting(format!(
                "[database] controller_url names the role {}, which is the owner's or the server's: the controller has a role \
                 of its own, so that it reads nothing but what concerns pods. Name another role; this command makes it",
                controller.role
            )));
        }
        if controller.database != owner.database {
            return Err(OpenError::Setting(format!(
                "[database] controller_url names the database {} and migrate_url the database {}: they must be one",
                controller.database, owner.database
            )));
        }
    }
    let wait = Duration::from_millis(config.acquire_timeout_ms);
    let mut connection = one(&owner, wait).await?;
    lock(&mut connection).await?;
    let mut report = schema(&owner, config).await?;
    report.extend(grant(&mut connection, &owner, &runtime, Rights::Server).await?);
    if let Some(controller) = &controller {
        report.extend(grant(&mut connection, &owner, controller, Rights::Controller).await?);
    }
    // The proof: what a process checks when it starts, as the role that it has.
    for address in [Some(&runtime), controller.as_ref()].into_iter().flatten() {
        let mut as_role = one(address, wait).await?;
        check(&mut as_role, address).await?;
        report.push(format!(
            "checked: {} can sign in, and owns nothing",
            address.role
        ));
        let _ = as_role.close().await;
    }
    // Ends the lock too.
    let _ = connection.close().await;
    Ok(report)
}

/// Waits until no other run works on this database. The lock ends with the connection, however that ends.
async fn lock(connection: &mut PgConnection) -> Result<(), OpenError> {
    let started = std::time::Instant::now();
    loop {
        let mine: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
            .bind(LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if mine {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(OpenError::Refused(format!(
                "another `optidev migrate` has been working on this database for {} s: wait for its end, then run this again",
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn schema(owner: &Address, config: &DatabaseConfig) -> Result<Report, OpenError> {
    // No limit on statements: a change of a large table takes as long as it takes. One on locks: while a change waits for
    // its turn, everybody else waits behind it.
    let lock_timeout = config.lock_timeout_ms.to_string();
    let options = owner
        .options
        .clone()
        .options([("lock_timeout", lock_timeout.as_str())]);
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    let there: bool = sqlx::query_scalar("SELECT to_regclass('seaql_migrations') IS NOT NULL")
        .fetch_one(&pool)
        .await?;
    let before: Vec<String> = if there {
        sqlx::query_scalar("SELECT version FROM seaql_migrations")
            .fetch_all(&pool)
            .await?
    } else {
        Vec::new()
    };
    let known = Migrator::migrations();
    if let Some(newer) = before
        .iter()
        .find(|name| !known.iter().any(|migration| migration.name() == *name))
    {
        return Err(OpenError::Refused(format!(
            "the database schema is newer than this executable ({newer}): run the newer executable's `optidev migrate`"
        )));
    }
    let database = DatabaseConnection::from(pool);
    Migrator::up(&database, None).await?;
    database.close().await?;
    let new: Vec<String> = known
        .iter()
        .map(|migration| migration.name().to_owned())
        .filter(|name| !before.contains(name))
        .collect();
    Ok(vec![if new.is_empty() {
        "schema: up to date already".to_owned()
    } else {
        format!("schema: applied {}", new.join(", "))
    }])
}

/// Whose a role is.
#[derive(Clone, Copy)]
enum Rights {
    Server,
    Controller,
}

impl Rights {
    /// What the role may do with a table; none for nothing.
    fn on(self, table: &str) -> Option<String> {
        match self {
            Self::Server => Some(
                if table == "seaql_migrations" {
                    "SELECT"
                } else if tables::APPEND_ONLY.contains(&table) {
                    "SELECT, INSERT"
                } else {
                    "SELECT, INSERT, UPDATE, DELETE"
                }
                .to_owned(),
            ),
            Self::Controller => {
                let (_, writes) = tables::CONTROLLER.iter().find(|(name, _)| *name == table)?;
                Some(if writes.is_empty() {
                    "SELECT".to_owned()
                } else {
                    format!("SELECT, UPDATE ({})", writes.join(", "))
                })
            }
        }
    }

    fn said(self, role: &str, count: usize) -> String {
        match self {
            Self::Server => format!(
                "rights: {role} may read and change rows of {count} tables, and only add to {}",
                tables::APPEND_ONLY.join(", ")
            ),
            Self::Controller => {
                let names = tables::CONTROLLER.map(|(name, _)| name);
                format!(
                    "rights: {role} may read {}, and write what it observed",
                    names.join(", ")
                )
            }
        }
    }
}

/// Makes a role or corrects it, in one transaction: processes that run see either what was or what will be.
async fn grant(
    connection: &mut PgConnection,
    owner: &Address,
    runtime: &Address,
    rights: Rights,
) -> Result<Report, OpenError> {
    let mut tx = connection.begin().await?;
    let mut report = role(&mut tx, owner, runtime).await?;
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(&mut *tx)
        .await?;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace \
         AND relkind IN ('r', 'p') AND pg_has_role(relowner, 'USAGE') ORDER BY 1",
    )
    .fetch_all(&mut *tx)
    .await?;
    run(
        &mut tx,
        "GRANT CONNECT ON DATABASE %I TO %I",
        &[&runtime.database, &runtime.role],
    )
    .await?;
    run(
        &mut tx,
        "GRANT USAGE ON SCHEMA %I TO %I",
        &[&schema, &runtime.role],
    )
    .await?;
    // Databases that were made before PostgreSQL 15 let everybody make tables.
    let may_create: bool = sqlx::query_scalar("SELECT has_schema_privilege($1, $2, 'CREATE')")
        .bind(&runtime.role)
        .bind(&schema)
        .fetch_one(&mut *tx)
        .await?;
    if may_create {
        run(
            &mut tx,
            "REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I",
            &[&schema, &runtime.role],
        )
        .await?;
    }
    // One by one and by name. Default privileges would let the server change entries of a new append-only table until
    // this transaction came; a table without a grant is merely one that a server cannot use yet.
    for name in &names {
        run(
            &mut tx,
            "REVOKE ALL ON TABLE %I FROM PUBLIC, %I",
            &[name, &runtime.role],
        )
        .await?;
        if let Some(rights) = rights.on(name) {
            let form = format!("GRANT {rights} ON TABLE %I TO %I");
            run(&mut tx, &form, &[name, &runtime.role]).await?;
        }
    }
    tx.commit().await?;
    report.push(rights.said(&runtime.role, names.len()));
    Ok(report)
}

async fn role(
    tx: &mut PgConnection,
    owner: &Address,
    runtime: &Address,
) -> Result<Report, OpenError> {
    let name = &runtime.role;
    // Said by PostgreSQL itself as it stores it, and never as what was sent.
    sqlx::raw_sql("SET LOCAL password_encryption = 'scram-sha-256'")
        .execute(&mut *tx)
        .await?;
    let found: Option<(bool, bool, bool, bool, bool)> = sqlx::query_as(
        "SELECT rolsuper, rolbypassrls, rolcanlogin, rolcreatedb OR rolcreaterole OR rolreplication, \
         EXISTS (SELECT 1 FROM pg_class c WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p')) \
         FROM pg_roles r WHERE rolname = $1",
    )
    .bind(name)
    .fetch_optional(&mut *tx)
    .await?;
    let mut report = Report::new();
    match found {
        None => {
            let form = "CREATE ROLE %I LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION";
            run(tx, form, &[name]).await.map_err(|error| {
                may_not(error, &owner.role, &format!("CREATE ROLE {name} LOGIN"))
            })?;
            report.push(format!("role: made {name}"));
        }
        Some((true, ..) | (_, true, ..)) => {
            return Err(OpenError::Refused(format!(
                "the role {name} is a superuser or passes row level security. Name another role there, \
                 which this command makes, or take that right from it: ALTER ROLE {name} NOSUPERUSER NOBYPASSRLS"
            )));
        }
        Some((.., true)) => {
            return Err(OpenError::Refused(format!(
                "the role {name} owns tables of this database, so it could switch row level security \
                 off. Name another role there, or give them to {}: REASSIGN OWNED BY {name} TO {}",
                owner.role, owner.role
            )));
        }
        Some((_, _, login, rights, _)) => {
            if !login || rights {
                let statement = "ALTER ROLE %I LOGIN NOCREATEDB NOCREATEROLE";
                run(tx, statement, &[name]).await.map_err(|error| {
                    let remedy = format!("ALTER ROLE {name} LOGIN NOCREATEDB NOCREATEROLE");
                    may_not(error, &owner.role, &remedy)
                })?;
                report.push(format!(
                    "role: {name} may sign in, and make no databases or roles"
                ));
            } else {
                report.push(format!("role: {name} is there"));
            }
        }
    }
    if let Some(password) = &runtime.password {
        // In a savepoint: an owner who may not set passwords of a role that has the right one is no failure.
        let mut inner = tx.begin().await?;
        let words = [name.as_str(), password.expose()];
        match run(&mut inner, "ALTER ROLE %I PASSWORD %L", &words).await {
            Ok(()) => {
                inner.commit().await?;
                report.push(format!("role: set the password of {name}"));
            }
            Err(error) if denied(&error) => {
                inner.rollback().await?;
                report.push(format!(
                    "role: {} may not set the password of {name}; it stays as it is",
                    owner.role
                ));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(report)
}

/// Runs a statement about names, which cannot be bound: PostgreSQL itself quotes them (`%I` a name, `%L` a text).
async fn run(tx: &mut PgConnection, form: &str, names: &[&str]) -> Result<(), Error> {
    let statement: String = sqlx::query_scalar("SELECT format($1, VARIADIC $2)")
        .bind(form)
        .bind(names)
        .fetch_one(&mut *tx)
        .await?;
    let statement = zeroize::Zeroizing::new(statement);
    sqlx::raw_sql(AssertSqlSafe(statement.as_str()))
        .execute(tx)
        .await?;
    Ok(())
}

fn denied(error: &Error) -> bool {
    matches!(error, Error::Database(told) if told.code().as_deref() == Some("42501"))
}

fn may_not(error: Error, owner: &str, statement: &str) -> OpenError {
    if denied(&error) {
        OpenError::Refused(format!(
            "the role {owner} in [database] migrate_url may not do this. Give it the right (ALTER ROLE {owner} CREATEROLE), \
             or run as an administrator of PostgreSQL, and then this again: {statement}"
        ))
    } else {
        error.into()
    }
}
