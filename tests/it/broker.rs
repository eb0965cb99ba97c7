//! The broker: what passes between a browser and an agent, and what does not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::containers::{owner, running, sh};
use crate::support::api::Api;
use crate::support::server::Server;
use crate::support::terminal::Terminal;

const SOON: Duration = Duration::from_secs(30);
/// By when what rests on a right has to end with it.
const OVER: Duration = Duration::from_secs(2);

#[tokio::test]
async fn files_are_read_written_and_never_overwritten_blindly() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let file = format!("{path}/files/src/m%C3%A4in%20file.ts");
    let made = api
        .put_bytes(&format!("{file}?parents=1"), b"one\n".to_vec())
        .await
        .expect(201);
    let etag = made.etag();
    let read = api.get(&file).await.expect(200);
    assert_eq!((read.text().as_str(), read.etag()), ("one\n", etag.clone()));
    let range = api
        .send("GET", &file, |request| request.header("range", "bytes=1-2"))
        .await
        .expect(206);
    assert_eq!(range.text(), "ne");
    assert_eq!(range.headers["content-range"], "bytes 1-2/4");

    let write = |tag: String| {
        api.send("PUT", &file, move |request| {
            request.header("if-match", tag).body("two\n")
        })
    };
    let second = write(format!("\"{}\"", etag.trim_matches('"')))
        .await
        .expect(200)
        .etag();
    let stale = write(format!("\"{}\"", etag.trim_matches('"'))).await;
    let problem = stale.problem(412, "precondition_failed");
    assert_eq!(problem["etag"].as_str().unwrap(), second.trim_matches('"'));
    assert!(!problem["request_id"].as_str().unwrap().is_empty());
    assert_eq!(api.get(&file).await.text(), "two\n");

    let listed = api.get(&format!("{path}/files/src?list=1")).await.ok();
    assert_eq!(listed["entries"][0]["name"], "mäin file.ts");
    assert!(api.get(&format!("{path}/files")).await.ok()["entries"].is_array());
    api.post(&format!("{path}/files/lib?action=mkdir"), &json!({}))
        .await
        .expect(201);
    api.post(&format!("{file}?action=move"), &json!({"to": "lib/a.ts"}))
        .await
        .expect(200);
    let found = api.get(&format!("{path}/search?query=two")).await.ok();
    assert_eq!(found["matches"][0]["path"], "lib/a.ts");
    let archive = api
        .get(&format!("{path}/archive?path=lib"))
        .await
        .expect(200);
    assert_eq!(&archive.body[..2], [0x1f, 0x8b]);
    assert_eq!(
        archive.headers["content-disposition"],
        "attachment; filename=\"lib.tar.gz\""
    );
    api.delete(&format!("{path}/files/lib"))
        .await
        .problem(409, "conflict");
    api.delete(&format!("{path}/files/lib?recursive=1"))
        .await
        .expect(204);
    api.get(&format!("{path}/files/lib/a.ts"))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn paths_do_not_lead_out_and_sizes_have_limits() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    sh(
        &api,
        &path,
        "ln -s /etc/passwd out; ln -s / root; ln -s ../../usr up",
    )
    .await;
    for inside in [
        "out",
        "root/etc/passwd",
        "up/bin/sh",
        "%2Fetc%2Fpasswd",
        "..%2F..%2Fetc%2Fpasswd",
        "a%00b",
        "../exec",
    ] {
        let answer = api.get(&format!("{path}/files/{inside}")).await;
        assert!(
            (400..500).contains(&answer.status),
            "{inside}: {}",
            answer.status
        );
        assert!(!answer.text().contains("root:x"), "{inside}");
    }
    let big = "x".repeat(2 << 20);
    api.post(
        &format!("{path}/exec"),
        &json!({"command": ["true"], "stdin": big}),
    )
    .await
    .problem(413, "too_large");
    let large = vec![7u8; 24 << 20];
    api.put_bytes(&format!("{path}/files/large"), large.clone())
        .await
        .expect(201);
    assert_eq!(
        api.get(&format!("{path}/files/large"))
            .await
            .expect(200)
            .body
            .len(),
        large.len()
    );
}

#[tokio::test]
async fn a_file_cannot_act_in_the_consoles_origin() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    for name in ["evil.html", "evil.svg", "evil.js", "x.pdf"] {
        let file = format!("{path}/files/{name}");
        api.put_bytes(
            &file,
            b"<svg onload=alert(1)><script>alert(1)</script>".to_vec(),
        )
        .await
        .expect(201);
        let answer = api.get(&file).await.expect(200);
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(
            answer.headers["content-security-policy"],
            "sandbox; default-src 'none'"
        );
        assert_eq!(answer.headers["content-disposition"], "attachment");
        let kind = answer.headers["content-type"].to_str().unwrap();
        assert!(
            kind == "application/octet-stream" || kind.starts_with("text/plain"),
            "{name}: {kind}"
        );
        assert!(
            !answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("location")
        );
    }
}

#[tokio::test]
async fn a_terminal_loses_no_byte_over_a_reconnect_and_ends_with_its_token() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let path = running(&ada).await;
    let (terminal, mut screen) = Terminal::create(&ada, &path).await;
    let place = format!("{path}/terminals/{terminal}");
    assert_eq!(screen.run("stty size", SOON).await, "24 80");
    screen.resize(132, 43).await;
    assert_eq!(
        screen.run("stty size; echo grüße; whoami", SOON).await,
        "43 132\ngrüße\ndev"
    );
    screen
        .send("for i in $(seq 1 20000); do echo line-$i; done; echo fin\"ished\"\r")
        .await;
    screen.wait_for("line-300", SOON).await;
    let seen = screen.next;
    drop(screen);
    let mut screen = Terminal::connect(&ada, &place, Some(seen)).await;
    screen.wait_for("finished", SOON).await;
    assert!(screen.gaps.is_empty());
    assert_eq!(screen.next - seen, screen.output.len() as u64);
    assert_eq!(
        ada.get(&format!("{path}/terminals")).await.ok()["items"][0]["id"],
        terminal.as_str()
    );

    // A page of another site cannot open it.
    let foreign = |request: reqwest::RequestBuilder| {
        request
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("origin", "https://evil.example")
    };
    ada.send("GET", &place, foreign)
        .await
        .problem(403, "forbidden");
    ada.delete(&place).await.expect(204);
    ada.get(&place).await.problem(404, "not_found");
}

/// The workspace of a container's path.
fn place_of(container: &str) -> &str {
    container.split_once("/containers").unwrap().0
}

#[tokio::test]
async fn what_is_open_ends_with_the_membership() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let bob: Api = crate::containers::member(&server, &ada, "bob@example.com", "user").await;
    let path = running(&bob).await;
    let (_, mut screen) = Terminal::create(&bob, &path).await;
    screen.run("true", SOON).await;
    let member = format!(
        "{}/members/{}",
        place_of(&path),
        crate::members::id(&bob).await
    );
    let viewer = json!({"role": "viewer"});
    ada.send("PATCH", &member, |request| request.json(&viewer))
        .await
        .expect(200);
    let since = Instant::now();
    while tokio::time::timeout(SOON, screen.receive()).await.unwrap() {}
    assert!(since.elapsed() < OVER, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_removed_member_follows_nothing_any_more() {
    let server = Server::start().await;
    let ada = owner(&server).await;
    let bob: Api = crate::containers::member(&server, &ada, "bob@example.com", "user").await;
    let (shared, own) = (running(&ada).await, running(&bob).await);
    let workspace = ada.workspace().await;
    let (project, _) = crate::assistant::project(&bob, &workspace, &own, "Shop").await;
    let session = crate::assistant::session(&bob, &workspace, &project, &own).await;
    // Somebody else's container goes on; nothing but the check ends this stream, or that of the conversation.
    let mut container = bob.events(&format!("{shared}/events")).await;
    assert!(container.next(SOON).await.is_some());
    let mut conversation = bob.events(&format!("{session}/events?after=0")).await;
    let member = format!(
        "{}/members/{}",
        place_of(&own),
        crate::members::id(&bob).await
    );
    ada.delete(&member).await.expect(204);
    let since = Instant::now();
    assert!(container.next(SOON).await.is_none());
    assert!(conversation.next(SOON).await.is_none());
    assert!(since.elapsed() < OVER, "{:?}", since.elapsed());
    // The owner's own stream is another's business.
    let mut still = ada.events(&format!("{shared}/events")).await;
    assert!(still.next(SOON).await.is_some());
}

#[tokio::test]
async fn changes_are_followed() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let mut events = api.events(&format!("{path}/watch?path=")).await;
    // The stream does not say from when on it sees: something changes until a change was seen.
    let change = async {
        loop {
            sh(&api, &path, "echo x >> seen.txt").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let seen = events.until(SOON, |event| {
        event.name == "change" && event.json()["path"] == "seen.txt"
    });
    tokio::select! {
        changes = seen => assert!(!changes.is_empty()),
        () = change => {}
    }
}
