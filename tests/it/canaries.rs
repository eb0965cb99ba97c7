//! Canaries: distinct values in each tier and for each purpose, everything driven with them, and then a search of all places
//! where one could have been left: logs at trace level, files, answers, the AI provider's recorded traffic, the audit log's
//! export, and the memory of the processes.
//!
//! [`Canary::may_be`] is the table of what is allowed where; a place that is not in it must not hold the value in any
//! encoding.

mod places;
mod search;

use std::collections::BTreeSet;
use std::time::Duration;

use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::assistant::{Desk, to_call, to_the_end};
use crate::containers::wait_for;
use crate::identity::{Browser, field, totp};
use crate::members::{signed_in, submit};
use crate::support::api::http_client;
use crate::support::mail::{MailServer, Secured};
use crate::support::server::{PASSWORD, Server};
use crate::support::upstream::{Turn, Upstream};
use search::Search;

/// A kind of place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// What server, vault and launcher print, at trace level.
    Log,
    /// Database, write-ahead log, objects and all else below the data folder, but the inside of containers and the vault's
    /// own folder.
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

/// Each tier, set over the plain API; then errors that hold the value.
async fn secrets(desk: &Desk, canaries: &mut Canaries, answers: &mut Answers) {
    let secrets = format!("/workspaces/{}/secrets", desk.workspace);
    for (tier, may_be) in [
        ("visible", [Place::Answer, Place::Server].as_slice()),
        ("masked", &[]),
        ("sensitive", &[]),
    ] {
        for number in ["first", "second"] {
            let name = format!("{number} {tier}");
            let value = canaries.plant(&name, text_for(&name), may_be);
            let body = json!({"tier": tier, "value": value});
            let path = format!("{secrets}/{}", tier.to_uppercase());
            answers.note(&desk.api.put(&path, &body).await.expect(200).text());
        }
    }
    // Sent, and refused in one way or another: the answer must not repeat it.
    let refused = canaries.plant("refused", text_for("refused"), &[]);
    let path = format!("{secrets}/REFUSED");
    let quoted = serde_json::to_string(&refused).unwrap();
    let number = "9120481632648128256";
    canaries.plant("number", number, &[]);
    let long = format!("{refused}{}", "x".repeat(70_000));
    let huge = format!("{refused}{}", "x".repeat(9 << 20));
    for body in [
        format!("{{\"tier\": \"sensitive\", \"value\": {quoted}"),
        format!("{{\"tier\": \"sensitive\", \"value\": [{quoted}]}}"),
        format!("{{\"tier\": \"sensitive\", \"value\": {{\"a\": {quoted}}}}}"),
        format!("{{\"tier\": \"sensitive\", \"value\": {number}}}"),
        format!("{{\"tier\": \"sensitive\", \"value\": {quoted}, \"value\": {quoted}}}"),
        format!("{{\"tier\": \"none\", \"value\": {quoted}}}"),
        format!("{{\"value\": {quoted}, \"more\": 1, \"tier\": \"sensitive\"}}"),
        json!({"tier": "sensitive", "value": long}).to_string(),
        json!({"tier": "sensitive", "value": format!("{refused}\0")}).to_string(),
        json!({"tier": "sensitive", "value": huge}).to_string(),
    ] {
        let answer = desk.api.send("PUT", &path, |request| {
            request
                .header("content-type", "application/json")
                .body(body.clone())
        });
        let answer = answer.await;
        let start: String = body.chars().take(60).collect();
        assert!(
            (400..500).contains(&answer.status),
            "{start}: {}",
            answer.status
        );
        answers.note(&answer.text());
    }
    for path in [
        format!("{secrets}/NOT-A-NAME"),
        "/workspaces/ws_00000000000000000000000000/secrets/A".to_owned(),
        "/nowhere".to_owned(),
    ] {
        let body = json!({"tier": "sensitive", "value": refused});
        let answer = desk.api.put(&path, &body).await;
        assert!((400..500).contains(&answer.status), "{path}");
        answers.note(&answer.text());
    }
    let nobody = desk.server.anonymous();
    let body = json!({"tier": "sensitive", "value": refused});
    answers.note(&nobody.put(&path, &body).await.expect(401).text());
}

/// Reveals the masked value, which is the one answer that has it.
async fn reveal(desk: &Desk, canaries: &mut Canaries, answers: &mut Answers) {
    let mut browser = signed_in(&desk.server, "ada@example.com").await;
    let page = browser.get("/account").await.2;
    let cookie = browser.cookie().to_owned();
    canaries.plant("cookie", cookie.split_once('=').unwrap().1, &[]);
    let secrets = format!(
        "{}/api/v1/workspaces/{}/secrets",
        desk.server.url(),
        desk.workspace
    );
    for (name, status) in [("MASKED", 200), ("SENSITIVE", 409)] {
        let asked = http_client()
            .post(format!("{secrets}/{name}/reveal"))
            .header("cookie", &cookie)
            .header("x-csrf-token", field(&page, "csrf_token"))
            .json(&json!({}));
        let answer = asked.send().await.unwrap();
        let got = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        if name == "MASKED" {
            assert_eq!(got, status, "{text}");
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value["value"], text_for("second masked"));
        } else {
            assert!((400..500).contains(&got), "{got} {text}");
            answers.note(&text);
        }
    }
}

/// Started again with the values, which are inside then: told by their digests, because an output passes the server.
async fn delivery(desk: &Desk) {
    let (api, container) = (&desk.api, &desk.container);
    api.post(&format!("{container}/stop"), &json!({}))
        .await
        .ok();
    wait_for(api, container, "stopped").await;
    api.post(&format!("{container}/start"), &json!({}))
        .await
        .ok();
    wait_for(api, container, "running").await;
    for tier in ["visible", "masked", "sensitive"] {
        let script = format!("printf %s \"${}\" | sha256sum", tier.to_uppercase());
        let digest = digest(&text_for(&format!("second {tier}")));
        assert!(desk.sh(&script).await.starts_with(&digest), "{tier}");
    }
}

/// Passwords, right and wrong ones, a second factor, an invitation by mail, a token.
async fn people(desk: &Desk, canaries: &mut Canaries, answers: &mut Answers) {
    let url = desk.server.url();
    let wrong = canaries.plant("wrong password", text_for("wrong password"), &[]);
    let fields = [("email", "ada@example.com"), ("password", wrong.as_str())];
    let (_, _, page) = Browser::new(&url).post("/sign-in", &fields).await;
    answers.note(&page);
    let place = format!("/workspaces/{}", desk.workspace);
    let invite = json!({"email": "new@example.com", "role": "user"});
    let made = desk
        .api
        .post(&format!("{place}/invitations"), &invite)
        .await;
    let made = made.expect(201).json();
    if let Some(link) = made["link"].as_str() {
        let link = link[link.find("/invitations/").unwrap()..].to_owned();
        let token = link.rsplit('/').next().unwrap().to_owned();
        canaries.plant("invitation", token, &[Place::Answer, Place::Server]);
        let password = canaries.plant("password", text_for("password"), &[]);
        let form = [("name", "New"), ("password", password.as_str())];
        let (status, _, page) = Browser::new(&url).post(&link, &form).await;
        assert_eq!(status, 303, "{page}");
        let form = [
            ("email", "new@example.com"),
            ("password", password.as_str()),
        ];
        let (status, _, page) = Browser::new(&url).post("/sign-in", &form).await;
        assert_eq!(status, 303, "{page}");
    }
    let mut browser = signed_in(&desk.server, "ada@example.com").await;
    let (_, _, page) = browser.get("/account/second-factor").await;
    let seed = page.split("data-test=\"second-factor-secret\">").nth(1);
    let seed = seed.unwrap().split('<').next().unwrap().to_owned();
    canaries.plant("seed", seed.clone(), &[]);
    let (sealed, code) = (field(&page, "sealed"), totp(&seed, 0));
    let fields = [("sealed", sealed.as_str()), ("code", &code)];
    let place = "/account/second-factor";
    let (status, _, text) = submit(&mut browser, place, place, &fields).await;
    assert_eq!(status, 303, "{text}");
    let token = crate::tokens::make(&mut browser, "/account/tokens", "CI", "projects", "30").await;
    canaries.plant("token", token, &[]);
    answers.note(&desk.api.get("/me").await.text());
}

/// Follows every link of the console, and asks every GET of the API whose place is known.
async fn walk(desk: &Desk, browser: &mut Browser, answers: &mut Answers) -> usize {
    let (mut open, mut seen) = (vec!["/".to_owned()], BTreeSet::new());
    while let Some(path) = open.pop() {
        if seen.len() > 300 || !seen.insert(path.clone()) {
            continue;
        }
        let (_, to, page) = browser.get(&path).await;
        let links = page.split("href=\"").skip(1);
        let links = links.filter_map(|rest| rest.split_once('"').map(|(link, _)| link));
        for link in links.chain([to.as_str()]) {
            let link = link.split('#').next().unwrap();
            if link.starts_with('/') && !link.starts_with("//") && !link.starts_with("/assets") {
                open.push(link.replace("&#38;", "&"));
            }
        }
        answers.note(&page);
    }
    let pages = seen.len();
    let document = desk.api.get("/openapi.json").await.ok();
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let organization = desk.api.organization().await;
    let known = [
        ("{workspace}", desk.workspace.clone()),
        ("{organization}", organization),
        ("{project}", desk.project.clone()),
        ("{container}", last(&desk.container)),
        ("{session}", last(&desk.session)),
        ("{name}", "SENSITIVE".to_owned()),
    ];
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let stream = ["/events", "/watch", "/export"]
            .iter()
            .any(|end| path.ends_with(end));
        let mut path = path.trim_start_matches("/api/v1").to_owned();
        for (name, id) in &known {
            path = path.replace(name, id);
        }
        if item.get("get").is_none() || stream || path.contains('{') {
            continue;
        }
        answers.note(&desk.api.get(&path).await.text());
        asked += 1;
    }
    pages + asked
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

#[tokio::test]
async fn planted_values_are_nowhere_but_where_they_may_be() {
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
    let desk = Desk::on(builder, upstream).await;
    // The connection to the provider is kept, and with it the buffer in which its last request's head was written.
    let may_be = &[Place::Upstream, Place::Server];
    canaries.plant("upstream key", desk.upstream.key(), may_be);
    canaries.plant("owner's password", PASSWORD, &[]);
    canaries.plant("owner's token", desk.api.token().unwrap(), &[]);
    canaries.plant("desk's secret", "tr0ub4dor-and-3-secret", &[]);
    keys(&desk.server, &mut canaries);

    secrets(&desk, &mut canaries, &mut answers).await;
    reveal(&desk, &mut canaries, &mut answers).await;
    delivery(&desk).await;
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
    let walked = walk(&desk, &mut browser, &mut answers).await;
    assert!(walked > 40, "only {walked} pages and lists were found");
    people(&desk, &mut canaries, &mut answers).await;
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
    let files = places::files(&data, &apart);
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
    assert!(
        ends("optidev.db") && ends("optidev.db-wal"),
        "{:?}",
        files.len()
    );
    let rows: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    there(&rows, "new@example.com");
}
