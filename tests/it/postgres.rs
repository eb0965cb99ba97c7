//! The same server on PostgreSQL, chosen by one setting: a real server on a private socket and a loopback port.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::eventually;
use crate::support::postgres::{Database, OWNER, Postgres};
use crate::support::server::{Builder, Server};

/// A server on `database`, whichever one the suite runs on.
fn on(database: &Database<'_>) -> Builder {
    database
        .settings()
        .into_iter()
        .fold(Server::builder(), |builder, (key, value)| {
            builder.set(&key, value)
        })
}

/// Transactions of one row really run side by side here; on SQLite a writer waits for the other.
#[tokio::test]
async fn requests_that_meet_agree_about_a_container() {
    let database = Postgres::shared().new_database();
    let server = on(&database).start().await;
    server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let containers = format!("/workspaces/{}/containers", ada.workspace().await);
    for _ in 0..5 {
        let nothing = json!({});
        let made = (0..12).map(|_| ada.post(&containers, &nothing));
        let made = futures_util::future::join_all(made).await;
        let ids: BTreeSet<String> = made
            .into_iter()
            .map(|answer| answer.expect(202).json()["id"].to_string())
            .collect();
        assert_eq!(ids.len(), 1, "one container each: {ids:?}");
        let one = format!("{containers}/{}", ids.first().unwrap().trim_matches('"'));
        // A start that read the row before it was deleted does not bring it back.
        let start = format!("{one}/start");
        let starts = || futures_util::future::join_all((0..6).map(|_| ada.post(&start, &nothing)));
        let (_, deleted, _) = tokio::join!(starts(), ada.delete(&one), starts());
        if deleted.status == 409 {
            ada.delete(&one).await.expect(204);
        }
        eventually("gone", Duration::from_secs(30), || async {
            (ada.get(&containers).await.ok()["items"] == json!([])).then_some(())
        })
        .await;
        eventually("room for another", Duration::from_secs(30), || async {
            (database.sql("SELECT count(*) FROM container") == "0").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn one_setting_moves_everything_to_postgresql_behind_row_level_security() {
    let database = Postgres::shared().new_database();
    let mut server = on(&database).start().await;
    server.create_owner("ada@example.com").await;
    server.create_owner("eve@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let eve = server.api("eve@example.com", "all").await;
    let workspace = ada.workspace().await;
    let projects = format!("/workspaces/{workspace}/projects");
    let new = json!({"name": "x", "source": {"kind": "empty"}});
    let project = ada.post(&projects, &new).await.expect(201).json()["id"].clone();
    let secret = format!("/workspaces/{workspace}/secrets/S");
    ada.put(&secret, &json!({"tier": "visible", "value": "v"}))
        .await
        .expect(200);
    eve.get(&projects).await.problem(404, "not_found");
    let foreign = format!(
        "/workspaces/{}/projects/{}",
        eve.workspace().await,
        project.as_str().unwrap()
    );
    eve.get(&foreign).await.problem(404, "not_found");
    assert!(
        !server.data_dir().join("optidev.db").exists(),
        "nothing is kept in SQLite"
    );

    // Every table with a workspace has forced row level security and a policy.
    let bare = "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
                WHERE a.attname = 'workspace_id' AND c.relkind = 'r' AND NOT (c.relrowsecurity AND c.relforcerowsecurity \
                AND EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid))";
    assert_eq!(database.sql_as(OWNER, bare), "");
    assert_eq!(database.sql("SELECT count(*) FROM project"), "1");
    // The server's own role, with no workspace named, or with another one: nothing, whatever a query forgot.
    assert_eq!(database.sql_as(OWNER, "SELECT count(*) FROM project"), "0");
    let other = "BEGIN; SELECT set_config('app.workspace', gen_random_uuid()::text, true) IS NULL; \
                 SELECT count(*) FROM project; COMMIT";
    let answer = database.sql_as(OWNER, other);
    assert!(answer.lines().any(|line| line == "0"), "{answer}");

    let started = Instant::now();
    server.terminate().await;
    server.start_again().await;
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(ada.get(&projects).await.ok()["items"][0]["name"], "x");
}
