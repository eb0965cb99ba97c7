//! The audit log above its chain: what is found when the database is changed behind the server's back, what is read
//! through the API, and what arrives at sinks.

mod chain;
mod reading;
pub mod receivers;
mod sinks;

use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::server::{Owner, Server};

/// The server's own database, for those who come from behind: an SQLite file.
async fn database(server: &Server) -> DatabaseConnection {
    let path = server.data_dir().join("optidev.db");
    Database::connect(format!("sqlite://{}", path.display()))
        .await
        .unwrap()
}

async fn sql(database: &DatabaseConnection, statement: &str) -> u64 {
    let done = database.execute_unprepared(statement).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"))
        .rows_affected()
}

/// `X'…'`, an id's bytes as SQLite writes them.
fn bytes_of(id: &str) -> String {
    const ALPHABET: &str = "0123456789abcdefghjkmnpqrstvwxyz";
    let suffix = id.rsplit('_').next().unwrap();
    let number = suffix.chars().fold(0u128, |number, digit| {
        (number << 5) | ALPHABET.find(digit).unwrap() as u128
    });
    format!("X'{number:032X}'")
}

/// What `optidev verify audit --json` says, and its exit code.
async fn verify(server: &Server) -> (i32, Value) {
    let (status, stdout, stderr) = server.cli(&["verify", "audit", "--json"], "").await;
    let code = status.code().unwrap();
    let report = serde_json::from_str(&stdout).unwrap_or(Value::Null);
    assert!(code == 2 || report.is_object(), "{stdout}{stderr}");
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
    let server = Server::builder().embedded().start().await;
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
