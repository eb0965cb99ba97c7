//! Every way to change the log behind the server's back is found.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::{Behind, found, set_secrets, verify, with_entries};
use crate::support::{eventually, processes};

#[tokio::test]
async fn an_edit_of_any_column_is_found_at_its_row() {
    let (server, owner, _ada) = with_entries(6).await;
    let (code, report) = verify(&server).await;
    assert_eq!(code, 0, "{report}");
    assert!(report["entries"].as_i64().unwrap() >= 6, "{report}");
    let database = Behind::of(&server).await;
    let here = format!(
        "organization_id = {} AND seq = 7",
        database.bytes_of(&owner.organization_id)
    );
    let kept = database.aside("kept");
    let nobody = database.id("0123456789ABCDEF0123456789ABCDEF");
    for (column, value) in [
        ("organization_id", nobody.as_str()),
        ("seq", "300"),
        ("id", nobody.as_str()),
        ("workspace_id", "NULL"),
        ("at_ms", "at_ms + 1"),
        ("actor_id", "NULL"),
        ("credential", "'somebody'"),
        ("address", "'203.0.113.1'"),
        ("request_id", "'another'"),
        ("action", "'secrets.delete'"),
        ("object", "object || 'x'"),
        ("detail", "'nothing'"),
        ("mac", database.no_mac()),
    ] {
        database
            .sql(&format!(
                "CREATE TABLE {kept} AS SELECT * FROM audit_event WHERE {here}"
            ))
            .await;
        let changed = database
            .sql(&format!(
                "UPDATE audit_event SET {column} = {value} WHERE {here}"
            ))
            .await;
        assert_eq!(changed, 1, "{column}");
        let (code, report) = verify(&server).await;
        assert_eq!(code, 1, "{column}: {report}");
        assert!(found(&report).contains(&7), "{column}: {report}");
        database.sql(&format!("DELETE FROM audit_event WHERE id IN (SELECT id FROM {kept}) OR seq = 300 OR organization_id = {nobody}")).await;
        database
            .sql(&format!("DELETE FROM audit_event WHERE {here}"))
            .await;
        database
            .sql(&format!("INSERT INTO audit_event SELECT * FROM {kept}"))
            .await;
        database.sql(&format!("DROP TABLE {kept}")).await;
        let (code, report) = verify(&server).await;
        assert_eq!(code, 0, "after {column} was put back: {report}");
    }
}

#[tokio::test]
async fn what_is_removed_moved_or_added_is_found() {
    let (server, owner, ada) = with_entries(6).await;
    let eve = server.create_owner("eve@example.com").await;
    let database = Behind::of(&server).await;
    let organization = database.bytes_of(&owner.organization_id);
    let other = database.bytes_of(&eve.organization_id);
    let (events, heads) = (database.aside("events"), database.aside("heads"));
    // The vault hears of the last entries within about a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    database
        .sql(&format!(
            "CREATE TABLE {events} AS SELECT * FROM audit_event"
        ))
        .await;
    database
        .sql(&format!("CREATE TABLE {heads} AS SELECT * FROM audit_head"))
        .await;
    let mine = format!("organization_id = {organization}");
    let last = format!("(SELECT max(seq) FROM {events} WHERE {mine})");
    let (random_id, random_mac) = (database.random_id(), database.random_mac());
    let no_mac = database.no_mac();
    let attacks: Vec<(&str, Vec<String>)> = vec![
        (
            "the middle",
            vec![format!("DELETE FROM audit_event WHERE {mine} AND seq = 3")],
        ),
        (
            "the tail",
            vec![format!(
                "DELETE FROM audit_event WHERE {mine} AND seq >= {last} - 1"
            )],
        ),
        (
            "the head row",
            vec![format!("DELETE FROM audit_head WHERE {mine}")],
        ),
        (
            "the head alone rolled back",
            vec![format!(
                "UPDATE audit_head SET seq = 3, mac = (SELECT mac FROM {events} WHERE {mine} AND seq = 3) WHERE {mine}"
            )],
        ),
        (
            "head and tail rolled back together",
            vec![
                format!("DELETE FROM audit_event WHERE {mine} AND seq > 3"),
                format!(
                    "UPDATE audit_head SET seq = 3, mac = (SELECT mac FROM {events} WHERE {mine} AND seq = 3) WHERE {mine}"
                ),
            ],
        ),
        (
            "the whole chain",
            vec![
                format!("DELETE FROM audit_event WHERE {mine}"),
                format!("DELETE FROM audit_head WHERE {mine}"),
            ],
        ),
        (
            "the chain emptied",
            vec![
                format!("DELETE FROM audit_event WHERE {mine}"),
                format!("UPDATE audit_head SET seq = 0, mac = {no_mac} WHERE {mine}"),
            ],
        ),
        (
            "two swapped",
            vec![
                format!("UPDATE audit_event SET seq = -1 WHERE {mine} AND seq = 3"),
                format!("UPDATE audit_event SET seq = 3 WHERE {mine} AND seq = 4"),
                format!("UPDATE audit_event SET seq = 4 WHERE {mine} AND seq = -1"),
            ],
        ),
        (
            "a copy for another organization",
            vec![
                format!("DELETE FROM audit_event WHERE organization_id = {other}"),
                format!(
                    "INSERT INTO audit_event SELECT {other}, seq, {random_id}, workspace_id, at_ms, actor_id, credential, address, request_id, action, object, detail, mac FROM {events} WHERE {mine}"
                ),
                format!(
                    "UPDATE audit_head SET seq = {last}, mac = (SELECT mac FROM {events} WHERE {mine} AND seq = {last}) WHERE organization_id = {other}"
                ),
            ],
        ),
        (
            "a forged entry at the end",
            vec![
                format!(
                    "INSERT INTO audit_event SELECT organization_id, seq + 1, {random_id}, workspace_id, at_ms, actor_id, credential, address, request_id, action, object, detail, {random_mac} FROM {events} WHERE {mine} AND seq = {last}"
                ),
                format!(
                    "UPDATE audit_head SET seq = seq + 1, mac = (SELECT mac FROM audit_event WHERE {mine} ORDER BY seq DESC LIMIT 1) WHERE {mine}"
                ),
            ],
        ),
    ];
    for (what, statements) in attacks {
        for statement in statements {
            assert!(database.sql(&statement).await > 0, "{what}: {statement}");
        }
        let (code, report) = verify(&server).await;
        assert_eq!(code, 1, "{what}: {report}");
        for statement in [
            "DELETE FROM audit_event",
            "DELETE FROM audit_head",
            &format!("INSERT INTO audit_event SELECT * FROM {events}"),
            &format!("INSERT INTO audit_head SELECT * FROM {heads}"),
        ] {
            database.sql(statement).await;
        }
        let (code, report) = verify(&server).await;
        assert_eq!(code, 0, "after {what} was put back: {report}");
    }
    // Cut and continued by the server itself: every MAC is right, and the vault remembers another entry.
    database
        .sql(&format!(
            "DELETE FROM audit_event WHERE {mine} AND seq >= {last}"
        ))
        .await;
    database.sql(&format!("UPDATE audit_head SET seq = {last} - 1, mac = (SELECT mac FROM {events} WHERE {mine} AND seq = {last} - 1) WHERE {mine}")).await;
    set_secrets(&ada, &owner, 1).await;
    let (code, report) = verify(&server).await;
    assert_eq!(code, 1, "{report}");
    assert!(report.to_string().contains("cut and continued"), "{report}");
}

#[tokio::test]
async fn fifty_writers_leave_no_gap() {
    let (server, owner, ada) = with_entries(0).await;
    let writes = (0..50).map(|number| {
        let path = format!("/workspaces/{}/secrets/W{number}", owner.workspace_id);
        let ada = ada.clone();
        async move {
            ada.put(&path, &json!({"tier": "sensitive", "value": "v"}))
                .await
                .status
        }
    });
    let answers = futures_util::future::join_all(writes).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    let (code, report) = verify(&server).await;
    assert_eq!(code, 0, "{report}");
    assert!(report["entries"].as_i64().unwrap() >= 50, "{report}");
    let log = format!(
        "/organizations/{}/audit?action=secrets.set&limit=200",
        owner.organization_id
    );
    let page = ada.get(&log).await.ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 50);
}

#[tokio::test]
async fn without_the_vault_nothing_is_changed() {
    let (server, owner, ada) = with_entries(1).await;
    let vault = server.children(" vault ")[0];
    processes::signal(vault, Signal::STOP);
    let projects = format!("/workspaces/{}/projects", owner.workspace_id);
    let new = json!({"name": "Unheard", "source": {"kind": "empty"}});
    let answer = ada.post(&projects, &new).await;
    processes::signal(vault, Signal::CONT);
    answer.problem(503, "unavailable");
    let listed = eventually("the vault", Duration::from_secs(10), || async {
        let answer = ada.get(&projects).await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(listed["items"], json!([]));
    assert_eq!(verify(&server).await.0, 0);
}

/// What was committed in the last moment is anchored by the next start.
#[tokio::test]
async fn a_kill_loses_no_anchor_for_long() {
    let (mut server, owner, ada) = with_entries(2).await;
    set_secrets(&ada, &owner, 3).await;
    server.kill().await;
    server.start_again().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let database = Behind::of(&server).await;
    let mine = format!(
        "organization_id = {}",
        database.bytes_of(&owner.organization_id)
    );
    database.sql(&format!("DELETE FROM audit_event WHERE {mine} AND seq = (SELECT max(seq) FROM audit_event WHERE {mine})")).await;
    database.sql(&format!("UPDATE audit_head SET seq = seq - 1, mac = (SELECT mac FROM audit_event WHERE {mine} ORDER BY seq DESC LIMIT 1) WHERE {mine}")).await;
    let (code, report) = verify(&server).await;
    assert_eq!(code, 1, "{report}");
    assert!(report.to_string().contains("the chain was cut"), "{report}");
}
