//! The same server on PostgreSQL, chosen by one setting: a real server on a private socket and a loopback port.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::server::Server;

/// A PostgreSQL of this test's own.
struct Postgres {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Postgres {
    fn start() -> Self {
        let bin = newest("/usr/lib/postgresql");
        let folder = TempDir::with_prefix("optidev-postgres-").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Self { folder, bin, port };
        if rustix::process::geteuid().is_root() {
            // PostgreSQL refuses to run as root.
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(server.path())
                .status();
            assert!(owned.unwrap().success());
        }
        let data = server.path().join("data");
        server.ok(
            "initdb",
            &[
                "-D",
                text(&data),
                "-A",
                "trust",
                "-U",
                "postgres",
                "--no-sync",
            ],
        );
        let options = format!(
            "-p {port} -k {} -h 127.0.0.1 -c fsync=off",
            server.path().display()
        );
        let log = server.path().join("log");
        server.ok(
            "pg_ctl",
            &[
                "-D",
                text(&data),
                "-w",
                "-l",
                text(&log),
                "-o",
                &options,
                "start",
            ],
        );
        server.sql("postgres", "CREATE ROLE optidev LOGIN");
        server.sql("postgres", "CREATE DATABASE optidev OWNER optidev");
        server
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self) -> String {
        format!("postgres://optidev@127.0.0.1:{}/optidev", self.port)
    }

    /// What psql prints of a statement run as `role`, tuples only.
    fn sql(&self, role: &str, statement: &str) -> String {
        let database = if role == "postgres" && statement.starts_with("CREATE") {
            "postgres"
        } else {
            "optidev"
        };
        let port = self.port.to_string();
        let output = self.run(
            "psql",
            &[
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                role,
                "-d",
                database,
                "-At",
                "-c",
                statement,
            ],
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn ok(&self, program: &str, arguments: &[&str]) {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.bin.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args([
                    "--reuid",
                    "postgres",
                    "--regid",
                    "postgres",
                    "--init-groups",
                ])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        // pg_ctl's child keeps the standard streams, so they must not be pipes that somebody waits for.
        let (out, err) = (
            self.path().with_extension("out"),
            self.path().with_extension("err"),
        );
        let status = command
            .args(arguments)
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&err).unwrap())
            .status()
            .unwrap();
        let output = Output {
            status,
            stdout: std::fs::read(&out).unwrap(),
            stderr: std::fs::read(&err).unwrap(),
        };
        std::fs::remove_file(out).unwrap();
        std::fs::remove_file(err).unwrap();
        output
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.path().join("data");
        self.run(
            "pg_ctl",
            &["-D", text(&data), "-m", "immediate", "-w", "stop"],
        );
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn newest(folder: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{folder}: {error}: run scripts/need database"))
        .map(|entry| entry.unwrap().path())
        .collect();
    versions.sort();
    versions.pop().unwrap().join("bin")
}

/// Transactions of one row really run side by side here; on SQLite a writer waits for the other.
#[tokio::test]
async fn requests_that_meet_agree_about_a_container() {
    let postgres = Postgres::start();
    let server = Server::builder()
        .set("database.url", postgres.url())
        .start()
        .await;
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
            (postgres.sql("postgres", "SELECT count(*) FROM container") == "0").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn one_setting_moves_everything_to_postgresql_behind_row_level_security() {
    let postgres = Postgres::start();
    let mut server = Server::builder()
        .set("database.url", postgres.url())
        .start()
        .await;
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
    assert_eq!(postgres.sql("optidev", bare), "");
    assert_eq!(
        postgres.sql("postgres", "SELECT count(*) FROM project"),
        "1"
    );
    // The server's own role, with no workspace named, or with another one: nothing, whatever a query forgot.
    assert_eq!(postgres.sql("optidev", "SELECT count(*) FROM project"), "0");
    let other = "BEGIN; SELECT set_config('app.workspace', gen_random_uuid()::text, true) IS NULL; \
                 SELECT count(*) FROM project; COMMIT";
    let answer = postgres.sql("optidev", other);
    assert!(answer.lines().any(|line| line == "0"), "{answer}");

    let started = Instant::now();
    server.terminate().await;
    server.start_again().await;
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(ada.get(&projects).await.ok()["items"][0]["name"], "x");
}

/// Fifty writers at once and an edit from behind, as in `audit::chain` on SQLite.
#[tokio::test]
async fn the_audit_log_has_no_gap_and_an_edit_is_found() {
    let postgres = Postgres::start();
    let server = Server::builder()
        .set("database.url", postgres.url())
        .start()
        .await;
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
    let edit = "UPDATE audit_event SET object = 'x' WHERE seq = 20";
    postgres.sql("postgres", edit);
    let (status, report, _) = server.cli(&["verify", "audit"], "").await;
    assert_eq!(status.code(), Some(1), "{report}");
    assert!(report.contains(" entry 20: "), "{report}");
}
