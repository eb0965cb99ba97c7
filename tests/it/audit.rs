//! The audit log above its chain: what is found when the database is changed behind the server's back, what is read
//! through the API, and what arrives at sinks.

mod chain;
mod coverage;
mod drive;
mod lines;
mod reading;
pub(crate) mod receivers;
mod sinks;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::postgres::{self, Postgres};
use crate::support::server::{Owner, Server};

/// The server's own database, for those who come from behind: past every scope, policy and right.
enum Behind {
    Sqlite(DatabaseConnection),
    Postgres(postgres::Database<'static>),
}

impl Behind {
    async fn of(server: &Server) -> Self {
        if server.on_postgres() {
            let database = Postgres::shared().database_of(server.data_dir());
            database.sql("CREATE SCHEMA aside");
            return Self::Postgres(database);
        }
        let path = server.data_dir().join("database/optidev.db");
        let database = Database::connect(format!("sqlite://{}", path.display())).await;
        Self::Sqlite(database.unwrap())
    }

    /// Runs a statement; how many rows it was about.
    async fn sql(&self, statement: &str) -> u64 {
        match self {
            Self::Sqlite(database) => {
                let done = database.execute_unprepared(statement).await;
                done.unwrap_or_else(|error| panic!("{statement}: {error}"))
                    .rows_affected()
            }
            // psql says what was done: `UPDATE 1`.
            Self::Postgres(database) => {
                let said = database.sql(statement);
                let count = said.rsplit(' ').next().unwrap();
                count.parse().unwrap_or_default()
            }
        }
    }

    /// The name of a table of the test's own: not where the server looks for tables without a policy.
    fn aside(&self, table: &str) -> String {
        match self {
            Self::Sqlite(_) => table.to_owned(),
            Self::Postgres(_) => format!("aside.{table}"),
        }
    }

    /// An id of 32 hexadecimal digits.
    fn id(&self, digits: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("X'{digits}'"),
            Self::Postgres(_) => format!("'{digits}'::uuid"),
        }
    }

    fn random_id(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "randomblob(16)",
            Self::Postgres(_) => "gen_random_uuid()",
        }
    }

    /// 32 bytes of zero.
    fn no_mac(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "zeroblob(32)",
            Self::Postgres(_) => "decode(repeat('00', 32), 'hex')",
        }
    }

    fn random_mac(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "randomblob(32)",
            Self::Postgres(_) => "decode(md5(random()::text) || md5(random()::text), 'hex')",
        }
    }

    /// The bytes of an id as the API writes it.
    fn bytes_of(&self, id: &str) -> String {
        const ALPHABET: &str = "0123456789abcdefghjkmnpqrstvwxyz";
        let suffix = id.rsplit('_').next().unwrap();
        let number = suffix.chars().fold(0u128, |number, digit| {
            (number << 5) | ALPHABET.find(digit).unwrap() as u128
        });
        self.id(&format!("{number:032X}"))
    }
}

/// What `optidev verify audit --json` says, and its exit code.
async fn verify(server: &Server) -> (i32, Value) {
    let (status, stdout, stderr) = server.cli(&["verify", "audit", "--json"], "").await;
    let code = status.code().unwrap();
    let report = serde_json::from_str(&stdout).unwrap_or(Value::Null);
    assert!(report.is_object(), "{code}: {stdout}{stderr}");
    (code, report)
}

/// The numbers of the entries that were found wrong.
fn found(report: &Value) -> Vec<i64> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter_map(|finding| finding["seq"].as_i64())
        .collect()
}

/// A server with an owner and `count` secrets set, each of which is an entry.
async fn with_entries(count: usize) -> (Server, Owner, Api) {
    let server = Server::start().await;
    let owner = server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    set_secrets(&ada, &owner, count).await;
    (server, owner, ada)
}

async fn set_secrets(api: &Api, owner: &Owner, count: usize) {
    for number in 0..count {
        let path = format!("/workspaces/{}/secrets/S{number}", owner.workspace_id);
        api.put(&path, &json!({"tier": "sensitive", "value": "v"}))
            .await
            .expect(200);
    }
}
