//! PostgreSQL as the store: who may do what there, what a server refuses to work with, and what `optidev migrate` does.

use std::collections::BTreeSet;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use optidev_migrations::tables;
use serde_json::json;

use crate::support::api::Api;
use crate::support::postgres::{Database, OWNER, PASSWORD, Postgres, RUNTIME};
use crate::support::server::{Builder, Server};
use crate::support::{eventually, target_dir};

/// A server on `database`, whichever one the suite runs on.
pub fn on(database: &Database<'_>) -> Builder {
    database
        .settings()
        .into_iter()
        .fold(Server::builder(), |builder, (key, value)| {
            builder.set(&key, value)
        })
}

/// What a server says that refuses to start.
pub async fn refusal(builder: Builder) -> String {
    let (status, text) = builder.start_and_fail().await;
    assert!(!status.success(), "{text}");
    text
}

/// A file that holds the roles' password.
pub fn password_file(folder: &Path) -> PathBuf {
    let file = folder.join("password");
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    std::io::Write::write_all(
        &mut options.open(&file).unwrap(),
        format!("{PASSWORD}\n").as_bytes(),
    )
    .unwrap();
    file
}

/// Runs `optidev migrate` that must fail, with changed settings; answers what it said.
fn migrate_refusal(database: &Database<'_>, changes: &[(&str, &str)]) -> String {
    let mut command = database.migrate_command();
    command.envs(changes.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}");
    text
}

const URL: &str = "OPTIDEV_DATABASE__URL";
const MIGRATE_URL: &str = "OPTIDEV_DATABASE__MIGRATE_URL";

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
    eve.get(&projects).await.problem(404, "not_found");
    let foreign = format!(
        "/workspaces/{}/projects/{}",
        eve.workspace().await,
        project.as_str().unwrap()
    );
    eve.get(&foreign).await.problem(404, "not_found");
    assert!(
        !server.data_dir().join("database/optidev.db").exists(),
        "nothing is kept in SQLite"
    );

    assert_eq!(database.sql("SELECT count(*) FROM project"), "1");
    // The server's own role, and the owner's, with no workspace named or with another one: nothing, whatever a query
    // forgot.
    for role in [RUNTIME, OWNER] {
        assert_eq!(database.sql_as(role, "SELECT count(*) FROM project"), "0");
        let other = "BEGIN; SELECT set_config('app.workspace', gen_random_uuid()::text, true) IS NULL; \
                     SELECT count(*) FROM project; COMMIT";
        let answer = database.sql_as(role, other);
        assert!(answer.lines().any(|line| line == "0"), "{answer}");
    }

    server.terminate().await;
    server.start_again().await;
    assert_eq!(ada.get(&projects).await.ok()["items"][0]["name"], "x");
}

/// The filter of one query deleted, by a build flag: SQLite, which has no second wall, shows the foreign row, and so
/// proves that the flag does what it says. PostgreSQL shows none.
#[tokio::test]
async fn without_the_filter_of_a_query_postgresql_still_shows_no_foreign_row() {
    // `make test` has built it; alone, this test builds it here.
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--features",
            "no-scope-filter",
        ])
        .args(["--bin", "optidev-unscoped", "--target-dir"])
        .arg(target_dir())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
    let program = target_dir().join("debug/optidev-unscoped");
    let database = Postgres::shared().new_database();
    for (builder, foreign) in [(Server::builder().embedded(), true), (on(&database), false)] {
        let server = builder.program(program.clone()).start().await;
        server.create_owner("ada@example.com").await;
        server.create_owner("eve@example.com").await;
        let ada = server.api("ada@example.com", "all").await;
        let eve = server.api("eve@example.com", "all").await;
        let one = |api: &Api, what: &str| {
            let (api, what) = (api.clone(), what.to_owned());
            async move { format!("/workspaces/{}/{what}", api.workspace().await) }
        };
        for (api, name) in [(&ada, "ADA"), (&eve, "EVE")] {
            let new = json!({"name": name, "source": {"kind": "empty"}});
            let projects = one(api, "projects").await;
            api.post(&projects, &new).await.expect(201);
            let set = json!({"tier": "sensitive", "value": "v"});
            let secret = one(api, &format!("secrets/{name}")).await;
            api.put(&secret, &set).await.expect(200);
            let invite = json!({"email": format!("{name}@example.net"), "role": "user"});
            let invitations = one(api, "invitations").await;
            api.post(&invitations, &invite).await.expect(201);
        }
        for what in ["projects", "secrets", "invitations"] {
            let seen = eve.get(&one(&eve, what).await).await.ok();
            let seen = seen["items"].to_string().to_lowercase();
            assert!(seen.contains("\"eve"), "{what}: {seen}");
            assert_eq!(seen.contains("\"ada"), foreign, "{what}: {seen}");
        }
    }
}

#[test]
fn the_servers_role_changes_rows_and_nothing_else() {
    let database = Postgres::shared().new_database();
    let rights = format!(
        "SELECT rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication FROM pg_roles \
         WHERE rolname = '{RUNTIME}'"
    );
    assert_eq!(database.sql(&rights), "f");
    for statement in [
        "ALTER TABLE project ADD COLUMN x int",
        "ALTER TABLE project DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE project NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY project_scope ON project",
        "CREATE POLICY x ON project USING (true)",
        "CREATE TABLE x ()",
        "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DROP TABLE project",
        "TRUNCATE project",
        "UPDATE audit_event SET action = 'x'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "DELETE FROM installation",
        "DELETE FROM seaql_migrations",
        "INSERT INTO seaql_migrations VALUES ('x', 0)",
        "ALTER ROLE optidev BYPASSRLS",
        "SET ROLE optidev_owner",
        "SET session_replication_role = replica",
    ] {
        let said = database.refusal(RUNTIME, statement);
        assert!(
            said.contains("must be owner")
                || said.contains("permission denied")
                || said.contains("must be superuser"),
            "{statement}: {said}"
        );
    }
    for table in tables::APPEND_ONLY {
        database.sql_as(RUNTIME, &format!("SELECT count(*) FROM {table}"));
    }
}

#[tokio::test]
async fn a_server_refuses_a_database_that_does_not_hold_its_role() {
    let postgres = Postgres::shared();
    let empty = postgres.empty_database();
    let said = refusal(on(&empty)).await;
    assert!(
        said.contains("no tables yet") && said.contains("optidev migrate"),
        "{said}"
    );

    let database = postgres.new_database();
    let as_role = |role: &str| on(&database).set("database.url", database.url_of(role));
    let said = refusal(as_role(OWNER)).await;
    assert!(
        said.contains("owns tables") && said.contains("migrate_url"),
        "{said}"
    );
    let said = refusal(as_role("postgres")).await;
    assert!(said.contains("superuser"), "{said}");
    postgres.sql("CREATE ROLE passes_policies LOGIN BYPASSRLS");
    database.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO passes_policies");
    let said = refusal(as_role("passes_policies")).await;
    assert!(said.contains("row level security"), "{said}");
    // What it may become counts like what it is.
    postgres.sql("CREATE ROLE climbs LOGIN; GRANT optidev_owner TO climbs");
    let said = refusal(as_role("climbs")).await;
    assert!(said.contains("owns tables"), "{said}");

    database.sql("ALTER TABLE secret NO FORCE ROW LEVEL SECURITY");
    let said = refusal(on(&database)).await;
    assert!(said.contains("switched off for secret"), "{said}");
    database.sql("ALTER TABLE secret FORCE ROW LEVEL SECURITY");
    // A policy that is there and holds nobody.
    let rule = "SELECT qual FROM pg_policies WHERE tablename = 'secret'";
    let rule = database.sql(rule);
    for (wrong, right) in [
        ("ALTER POLICY secret_scope ON secret USING (true)", ""),
        ("ALTER POLICY secret_scope ON secret WITH CHECK (true)", ""),
        (
            "CREATE POLICY more ON secret USING (true)",
            "DROP POLICY more ON secret",
        ),
        (
            "ALTER POLICY secret_scope ON secret TO postgres",
            "ALTER POLICY secret_scope ON secret TO PUBLIC",
        ),
        ("DROP POLICY secret_scope ON secret", ""),
    ] {
        database.sql(wrong);
        let said = refusal(on(&database)).await;
        assert!(said.contains("another rule"), "{wrong}: {said}");
        assert!(said.contains("for secret"), "{wrong}: {said}");
        if !right.is_empty() {
            database.sql(right);
            continue;
        }
        database.sql("DROP POLICY IF EXISTS secret_scope ON secret");
        database.sql(&format!(
            "CREATE POLICY secret_scope ON secret USING ({rule}) WITH CHECK ({rule})"
        ));
    }

    database.sql("DELETE FROM seaql_migrations WHERE version = 'm0004_assistant'");
    let said = refusal(on(&database)).await;
    assert!(
        said.contains("lacks m0004_assistant") && said.contains("optidev migrate"),
        "{said}"
    );
    database.sql("INSERT INTO seaql_migrations VALUES ('m0004_assistant', 0), ('m9999_future', 0)");
    // Expanded already for the version after this one.
    let server = on(&database).start().await;
    assert!(
        server.logs().contains("newer than this executable"),
        "{}",
        server.logs()
    );
    let said = migrate_refusal(&database, &[]);
    assert!(said.contains("m9999_future"), "{said}");
}

#[tokio::test]
async fn wrong_settings_are_explained_and_no_password_is_told() {
    let database = Postgres::shared().new_database();
    let with = |url: &str| on(&database).set("database.url", url);
    let port = Postgres::shared().port();
    for (url, words) in [
        (
            "postgres://optidev:hunter2@127.0.0.1:1/x".to_owned(),
            "check that it runs",
        ),
        (
            format!("postgres://optidev:hunter2@127.0.0.1:{port}/none"),
            "CREATE DATABASE none",
        ),
        (
            format!(
                "postgres://nobody:hunter2@127.0.0.1:{port}/{}",
                database.name
            ),
            "nobody",
        ),
        (
            "postgres://optidev:hunter2@db.example.com/x?sslmode=require".to_owned(),
            "allow_unverified_server",
        ),
        (
            "postgres://optidev:hunter2@db.example.com/x?sslmode=disable".to_owned(),
            "ca_file",
        ),
        (
            "postgres://optidev:hunter2@db.example.com/x?ssl=on".to_owned(),
            "known there are",
        ),
        (
            "mysql://optidev:hunter2@db.example.com/x".to_owned(),
            "postgres://role@host",
        ),
    ] {
        let said = refusal(with(&url)).await;
        assert!(said.contains(words), "{url}: {said}");
        assert!(!said.contains("hunter2"), "{url}: {said}");
    }
    let said = refusal(on(&database).set("database.password_file", "/nowhere/password")).await;
    assert!(said.contains("/nowhere/password"), "{said}");

    for (changes, words) in [
        (&[(MIGRATE_URL, "")][..], "migrate_url is not set"),
        (&[(URL, "")], "url is not"),
        (&[(URL, database.migrate_url().as_str())], "the same role"),
        (
            &[(URL, database.url_of("postgres").as_str())],
            "is a superuser",
        ),
        (
            &[(URL, "postgres://optidev@127.0.0.1/other")],
            "they must be one",
        ),
    ] {
        let said = migrate_refusal(&database, changes);
        assert!(said.contains(words), "{changes:?}: {said}");
    }
    Postgres::shared().sql("CREATE ROLE has_tables LOGIN");
    database.sql("CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO has_tables");
    let said = migrate_refusal(&database, &[(URL, &database.url_of("has_tables"))]);
    assert!(said.contains("owns tables"), "{said}");
    // An owner who may not make roles is told what to run.
    let none = "CREATE ROLE cannot LOGIN; CREATE DATABASE of_cannot OWNER cannot";
    for statement in none.split("; ") {
        Postgres::shared().sql(statement);
    }
    let of = |role: &str| format!("postgres://{role}@127.0.0.1:{port}/of_cannot");
    let said = migrate_refusal(
        &database,
        &[(URL, &of("missing")), (MIGRATE_URL, &of("cannot"))],
    );
    assert!(
        said.contains("CREATEROLE") && said.contains("CREATE ROLE missing LOGIN"),
        "{said}"
    );
}

#[tokio::test]
async fn migrate_makes_the_role_and_may_run_twice_and_two_at_once() {
    // Passwords count here, and the role is not there yet.
    let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let postgres = Postgres::start_with(rules, &[]);
    postgres.sql(&format!("DROP ROLE {RUNTIME}"));
    let database = postgres.empty_database();
    let file = password_file(tempfile::TempDir::new().unwrap().keep().as_path());
    let command = || {
        let mut command = database.migrate_command();
        command
            .env("OPTIDEV_DATABASE__PASSWORD_FILE", &file)
            .env("OPTIDEV_DATABASE__MIGRATE_PASSWORD_FILE", &file)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command
    };
    let both = [command().spawn().unwrap(), command().spawn().unwrap()];
    let printed: Vec<String> = both
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{errors}");
            assert!(!errors.contains("quo'te"), "{errors}");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    let saying = |words: &str| printed.iter().filter(|text| text.contains(words)).count();
    assert_eq!(saying("schema: applied m0001_identity"), 1, "{printed:?}");
    assert_eq!(saying("up to date already"), 1, "{printed:?}");
    assert_eq!(saying("role: made optidev"), 1, "{printed:?}");
    assert!(!printed.concat().contains("quo'te"), "{printed:?}");
    let stored =
        "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'optidev'";
    assert_eq!(database.sql(stored), "t");

    let server = on(&database)
        .set("database.password_file", file.to_str().unwrap())
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    // A right that somebody gave by hand goes with the next run.
    database.sql(&format!(
        "GRANT UPDATE, TRUNCATE ON audit_event TO {RUNTIME}"
    ));
    assert!(command().output().unwrap().status.success());
    database.refusal(RUNTIME, "UPDATE audit_event SET action = 'x'");
    drop(server);
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

/// Fifty writers at once and an edit from behind, as in `audit::chain` on SQLite.
#[tokio::test]
async fn the_audit_log_has_no_gap_and_an_edit_is_found() {
    let database = Postgres::shared().new_database();
    let server = on(&database).start().await;
    let owner = server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
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
    let (status, report, errors) = server.cli(&["verify", "audit", "--json"], "").await;
    assert_eq!(status.code(), Some(0), "{report}{errors}");
    let log = format!("/organizations/{}/audit", owner.organization_id);
    let found = ada
        .get(&format!("{log}?q=VERSION%201&limit=200"))
        .await
        .ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 50);
    let export = ada.get(&format!("{log}/export")).await.expect(200).text();
    assert!(export.lines().count() > 50);
    database.sql("UPDATE audit_event SET object = 'x' WHERE seq = 20");
    let (status, report, _) = server.cli(&["verify", "audit"], "").await;
    assert_eq!(status.code(), Some(1), "{report}");
    assert!(report.contains(" entry 20: "), "{report}");
}
