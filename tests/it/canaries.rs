//! Canaries: distinct values in each tier and for each purpose, everything driven with them, and then a search of all places
//! where one could have been left: logs at trace level, files, answers, the AI provider's recorded traffic, the audit log's
//! export, and the memory of the processes.
//!
//! [`Canary::may_be`] is the table of what is allowed where; a place that is not in it must not hold the value in any
//! encoding.

mod drive;
mod places;
mod search;

use std::time::Duration;

use hkdf::Hkdf;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::assistant::{Desk, to_call, to_the_end};
use crate::members::signed_in;
use crate::support::mail::{MailServer, Secured};
use crate::support::postgres::{Database, Postgres};
use crate::support::redis::Redis;
use crate::support::server::{Builder, PASSWORD, Server};
use crate::support::upstream::{Turn, Upstream};
use search::Search;

/// A kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// What server, vault and launcher print, at trace level.
    Log,
    /// Database, write-ahead log, objects and all else below the data folder, but the inside of containers and the vault's
    /// own folder; PostgreSQL's and Redis' folders, where they keep the data.
    Files,
    /// Answers of the API and pages.
    Answer,
    /// What the AI provider was sent.
    Upstream,
    /// The audit log's export.
    Audit,
    /// The server's memory when the requests are over.
    Server,
    /// The launcher's memory.
    Launcher,
}

struct Canary {
    name: String,
    value: Vec<u8>,
    may_be: &'static [Place],
}

#[derive(Default)]
struct Canaries(Vec<Canary>);

impl Canaries {
    fn plant(&mut self, name: &str, value: impl Into<Vec<u8>>, may_be: &'static [Place]) -> String {
        let value = value.into();
        let text = String::from_utf8_lossy(&value).into_owned();
        self.0.push(Canary {
            name: name.to_owned(),
            value,
            may_be,
        });
        text
    }

    fn search(&self) -> Search {
        Search::new(self.0.iter().map(|c| (c.name.as_str(), c.value.as_slice())))
    }

    /// What is in `bytes` and must not be in such a place.
    fn misplaced(&self, search: &Search, place: Place, bytes: &[u8]) -> Vec<String> {
        let allowed = |name: &str| {
            let mut all = self.0.iter().filter(|canary| canary.name == name);
            all.any(|canary| canary.may_be.contains(&place))
        };
        let found = search.within(bytes).into_iter();
        let wrong = found.filter(|((name, _), _)| !allowed(name));
        let told = |((name, how), around)| format!("{name} ({how}) in {around}");
        wrong.map(told).collect()
    }
}

/// A value that every encoding writes in a way of its own.
fn text_for(name: &str) -> String {
    format!("cnry \"{name}\" & /+?é {}", digest(name))
}

fn digest(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that answers said.
#[derive(Default)]
struct Answers(Vec<u8>);

impl Answers {
    fn note(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'\n');
    }
}

/// The master and every key that is derived from it, which the vault alone may have.
fn keys(server: &Server, canaries: &mut Canaries) {
    let folder = server.data_dir().join("vault");
    let master = std::fs::read_to_string(folder.join("master")).unwrap();
    let install = std::fs::read_to_string(folder.join("install-id")).unwrap();
    let install = bytes(install.trim());
    for (line, text) in master.lines().enumerate() {
        let Some(digits) = text.split_whitespace().last() else {
            continue;
        };
        if digits.len() != 64 || text.starts_with('#') {
            continue;
        }
        let secret = bytes(digits);
        canaries.plant(&format!("line {line} of the master"), secret.clone(), &[]);
        let derive = Hkdf::<Sha256>::new(Some(&install), &secret);
        for purpose in ["wrap", "system", "submit", "mac base"] {
            let mut key = vec![0; 32];
            let number = 1_u32.to_be_bytes();
            let info: [&[u8]; 4] = [b"optidev vault root 1", &number, purpose.as_bytes(), &[0]];
            derive.expand_multi_info(&info, &mut key).unwrap();
            canaries.plant(&format!("key {purpose:?} of line {line}"), key, &[]);
        }
    }
    assert!(
        canaries.0.iter().any(|c| c.name.starts_with("key")),
        "{master}"
    );
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

/// PostgreSQL and Redis of the test's own, with all of their files.
struct Scaled<'a> {
    postgres: &'a Postgres,
    database: Database<'a>,
    redis: Redis,
}

impl Scaled<'_> {
    fn settings(&self, builder: Builder) -> Builder {
        let of_the_database = self.database.settings().into_iter();
        of_the_database
            .chain([("redis.url".to_owned(), self.redis.url())])
            .fold(builder, |builder, (key, value)| builder.set(&key, value))
    }

    /// All that both have on disk, once everything is there.
    fn files(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        self.postgres.sql("CHECKPOINT");
        assert_ne!(self.redis.cli(&["DBSIZE"]).trim(), "0");
        assert_eq!(self.redis.cli(&["SAVE"]).trim(), "OK");
        let mut files = places::files(self.postgres.folder(), &[]);
        let ends = |files: &[(std::path::PathBuf, _)], part: &str| {
            files
                .iter()
                .any(|(path, _)| path.to_string_lossy().contains(part))
        };
        assert!(ends(&files, "/pg_wal/0"), "no write-ahead log");
        files.extend(places::files(self.redis.folder(), &[]));
        assert!(ends(&files, "dump.rdb"), "no dump of Redis");
        files
    }
}

#[tokio::test]
async fn planted_values_are_nowhere_but_where_they_may_be() {
    nowhere_but_where_they_may_be(None).await;
}

#[tokio::test]
async fn nor_in_postgresql_or_redis() {
    let postgres = Postgres::start();
    let scaled = Scaled {
        database: postgres.new_database(),
        postgres: &postgres,
        redis: Redis::start(),
    };
    nowhere_but_where_they_may_be(Some(&scaled)).await;
}

async fn nowhere_but_where_they_may_be(scaled: Option<&Scaled<'_>>) {
    let folder = tempfile::tempdir().unwrap();
    let mut canaries = Canaries::default();
    let mut answers = Answers::default();
    let smtp = canaries.plant(
        "mail password",
        "cnry-of-the-mail-server-5d1b",
        &[Place::Server],
    );
    let mail = MailServer::secured(Secured::Starttls, "localhost", ("optidev", &smtp)).await;
    let (ca, password) = (folder.path().join("ca.pem"), folder.path().join("password"));
    std::fs::write(&ca, mail.ca_pem()).unwrap();
    std::fs::write(&password, &smtp).unwrap();
    let upstream = Upstream::with_turns(vec![
        Turn::tool("run", json!({"command": "true"})),
        Turn::text("Done."),
        Turn::text("Through the gateway."),
    ])
    .await;
    let builder = Server::builder()
        .embedded()
        .set("log.level", "trace")
        .set("mail.smtp_host", "localhost")
        .set("mail.smtp_port", mail.port().to_string())
        .set("mail.ca_file", ca.to_str().unwrap())
        .set("mail.username", "optidev")
        .set("mail.password_file", password.to_str().unwrap())
        .set("mail.from", "OptiDev <optidev@example.com>");
    let builder = match scaled {
        Some(scaled) => scaled.settings(builder),
        None => builder,
    };
    let desk = Desk::on(builder, upstream).await;
    // The connection to the provider is kept, and with it the buffer in which its last request's head was written.
    let may_be = &[Place::Upstream, Place::Server];
    canaries.plant("upstream key", desk.upstream.key(), may_be);
    canaries.plant("owner's password", PASSWORD, &[]);
    canaries.plant("owner's token", desk.api.token().unwrap(), &[]);
    canaries.plant("desk's secret", "tr0ub4dor-and-3-secret", &[]);
    keys(&desk.server, &mut canaries);

    drive::secrets(&desk, &mut canaries, &mut answers).await;
    drive::sealed(&desk, &mut canaries, &mut answers).await;
    drive::credential(&desk, &mut canaries).await;
    drive::reveal(&desk, &mut canaries, &mut answers).await;
    drive::delivery(&desk).await;
    let mut stream = desk.events("0").await;
    desk.say("Please, run it.").await;
    let (call, _) = to_call(&mut stream, "waiting").await;
    desk.decide(&call, "allow").await.expect(202);
    to_the_end(&mut stream).await;
    let workspace = desk.workspace.clone();
    let question =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "?"}]});
    let asked = desk.api.send("POST", "//ai/v1/messages", |request| {
        request
            .header("anthropic-version", "2023-06-01")
            .header("x-optidev-workspace", workspace)
            .json(&question)
    });
    answers.note(&asked.await.expect(200).text());
    let mut browser = signed_in(&desk.server, "ada@example.com").await;
    let walked = drive::walk(&desk, &mut browser, &mut answers).await;
    assert!(walked > 40, "only {walked} pages and lists were found");
    drive::people(&desk, &mut canaries, &mut answers).await;
    let audit = format!(
        "/organizations/{}/audit/export",
        desk.api.organization().await
    );
    let audit = desk.api.get(&audit).await.expect(200).text();
    let sent: String = desk
        .upstream
        .calls()
        .iter()
        .map(|call| {
            format!(
                "{:?} {} {}\n",
                call.headers,
                call.uri,
                String::from_utf8_lossy(&call.raw)
            )
        })
        .collect();

    // Every connection of the test ends, and with it the server's buffers for it.
    let Desk {
        server,
        upstream,
        api,
        ..
    } = desk;
    drop((browser, stream, upstream, api));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let memory = places::memory(server.pid());
    let launcher = places::memory(server.children(" launcher ")[0]);
    let search = canaries.search();
    let mut wrong = Vec::new();
    let mut look = |place: Place, what: &str, bytes: &[u8]| {
        let found = canaries.misplaced(&search, place, bytes);
        if !found.is_empty() {
            wrong.push(format!("{place:?}, {what}: {}", found.join("\n    ")));
        }
    };
    look(Place::Server, "dump", &memory);
    look(Place::Launcher, "dump", &launcher);
    look(Place::Answer, "all", &answers.0);
    look(Place::Upstream, "all", sent.as_bytes());
    look(Place::Audit, "export", audit.as_bytes());
    let data = server.data_dir().to_owned();
    let apart = [data.join("containers"), data.join("vault")];
    let mut files = places::files(&data, &apart);
    files.extend(scaled.map(Scaled::files).unwrap_or_default());
    for (path, bytes) in &files {
        look(Place::Files, &path.display().to_string(), bytes);
    }
    // Its last words: what it prints when it ends by a fault.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(server.pid().try_into().unwrap()).unwrap(),
        rustix::process::Signal::ABORT,
    )
    .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let logs = server.logs();
    look(Place::Log, "all", logs.as_bytes());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // And each place is the one that it is said to be: each is found to hold what it must hold.
    let there = |bytes: &[u8], text: &str| {
        let search = Search::new([("it", text.as_bytes())]);
        assert!(!search.within(bytes).is_empty(), "nothing of {text:?}");
    };
    there(&memory, data.to_str().unwrap());
    there(&launcher, data.to_str().unwrap());
    there(&answers.0, &text_for("second visible"));
    there(sent.as_bytes(), "sk-ant-test-upstream-0123456789");
    there(audit.as_bytes(), "secrets.reveal");
    there(logs.as_bytes(), "\"level\":\"TRACE\"");
    let ends = |end: &str| {
        files
            .iter()
            .any(|(path, _)| path.to_string_lossy().ends_with(end))
    };
    let embedded = ends("optidev.db") && ends("optidev.db-wal");
    assert_eq!(embedded, scaled.is_none(), "{} files", files.len());
    let rows: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    there(&rows, "new@example.com");
}
