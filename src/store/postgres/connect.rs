//! Connections: one of its own for checks and migrations, or the pool.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sea_orm::sqlx::{Connection, Error};

use super::Address;
use crate::config::DatabaseConfig;
use crate::store::OpenError;

/// One connection, with what goes wrong said in words that name the setting.
///
/// # Errors
/// [`OpenError`].
pub async fn one(address: &Address, wait: Duration) -> Result<PgConnection, OpenError> {
    match tokio::time::timeout(wait, PgConnection::connect_with(&address.options)).await {
        Ok(connected) => connected.map_err(|error| explain(address, &error)),
        Err(_) => Err(OpenError::Refused(format!(
            "PostgreSQL at {} does not answer within {} ms. Check the host in [database] url and that it can be reached",
            address.place,
            wait.as_millis()
        ))),
    }
}

fn explain(address: &Address, error: &Error) -> OpenError {
    let place = &address.place;
    let code = match error {
        Error::Database(told) => told.code().map(|code| code.into_owned()),
        _ => None,
    };
    let untrusted = "the server must show a certificate for that name: name its authority in [database] ca_file, and \
                     the host as the certificate has it";
    let remedy = match (error, code.as_deref()) {
        // What the handshake said comes wrapped as a failure of the connection.
        (Error::Io(failed), _) if is_tls(failed) => untrusted.to_owned(),
        (Error::Tls(_), _) => untrusted.to_owned(),
        (Error::Io(_), _) => "check that it runs, and host and port in [database]".to_owned(),
        (_, Some("28P01")) => format!(
            "the password of the role {} is another: check the password file in [database]",
            address.role
        ),
        (_, Some("28000")) => format!(
            "the role {} may not connect: run `optidev migrate`, which makes the server's role, or check pg_hba.conf",
            address.role
        ),
        (_, Some("3D000")) => format!("make the database: CREATE DATABASE {}", address.database),
        _ => "check [database]".to_owned(),
    };
    OpenError::Refused(format!("PostgreSQL at {place} refuses: {error}; {remedy}"))
}

fn is_tls(failed: &std::io::Error) -> bool {
    failed
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

/// The server's pool. Limits are told to PostgreSQL when a connection begins, so that they hold for every statement.
pub fn pool(address: &Address, config: &DatabaseConfig) -> PgPool {
    let statement = config.statement_timeout_ms.to_string();
    let options = address.options.clone().options([
        ("statement_timeout", statement.as_str()),
        ("idle_in_transaction_session_timeout", statement.as_str()),
        ("lock_timeout", &config.lock_timeout_ms.to_string()),
    ]);
    PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(Duration::from_millis(config.acquire_timeout_ms))
        // A connection that broke meanwhile shows when a transaction begins, which is tried again: a question before
        // each transaction would cost every request a round trip.
        .test_before_acquire(false)
        .connect_lazy_with(options)
}
