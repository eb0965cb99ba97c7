//! Files: escapes, conflicts, crashes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use optidev_agent::Problem;
use optidev_agent::wire::{FileKind, Listing, Written};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::Agent;

#[tokio::test]
async fn reads_writes_lists_moves_and_deletes() {
    let agent = Agent::start();
    agent.put("/v1/files/a/b.txt", "x").await.is(404);
    let written: Written = agent
        .put("/v1/files/a/b.txt?parents=1", "hällo")
        .await
        .is(201)
        .json();
    assert_eq!((written.path.as_str(), written.size), ("a/b.txt", 6));
    let read = agent.get("/v1/files/a/b.txt").await.is(200);
    assert_eq!(read.text(), "hällo");
    assert_eq!(read.header("etag"), format!("\"{}\"", written.etag));
    assert_eq!(read.header("content-type"), "text/plain; charset=utf-8");
    let part = agent
        .ask("GET", "/v1/files/a/b.txt", &[("range", "bytes=3-4")], "")
        .await
        .is(206);
    assert_eq!(
        (part.text().as_str(), part.header("content-range")),
        ("ll", "bytes 3-4/6")
    );
    let none = agent
        .ask("GET", "/v1/files/a/b.txt", &[("range", "bytes=6-")], "")
        .await
        .is(416);
    assert_eq!(none.header("content-range"), "bytes */6");
    let head = agent
        .ask("HEAD", "/v1/files/a/b.txt", &[], "")
        .await
        .is(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, "6"));
    agent
        .ask(
            "GET",
            "/v1/files/a/b.txt",
            &[("if-none-match", read.header("etag"))],
            "",
        )
        .await
        .is(304);

    agent
        .post("/v1/files/z%20z?action=mkdir", serde_json::Value::Null)
        .await
        .is(201);
    agent
        .post("/v1/files/z%20z?action=mkdir", serde_json::Value::Null)
        .await
        .is(409);
    agent.put("/v1/files/A", "").await.is(201);
    let list: Listing = agent.get("/v1/files?list=1").await.is(200).json();
    let names: Vec<_> = list
        .entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.kind))
        .collect();
    assert_eq!(
        names,
        [
            ("a", FileKind::Dir),
            ("z z", FileKind::Dir),
            ("A", FileKind::File)
        ]
    );
    agent.get("/v1/files/a").await.is(409);
    agent.get("/v1/files/A?list=1").await.is(409);

    let to = |to: &str, overwrite: bool| serde_json::json!({"to": to, "overwrite": overwrite});
    agent
        .post("/v1/files/A?action=move", to("a/b.txt", false))
        .await
        .is(409);
    assert_eq!(agent.get("/v1/files/a/b.txt").await.text(), "hällo");
    agent
        .post("/v1/files/A?action=move", to("a/b.txt", true))
        .await
        .is(200);
    assert_eq!(agent.get("/v1/files/a/b.txt").await.text(), "");
    agent
        .post("/v1/files/a?action=move", to("a/c", false))
        .await
        .is(422);
    agent
        .post("/v1/files/a?action=move", to("../a", false))
        .await
        .is(400);
    agent.ask("DELETE", "/v1/files/a", &[], "").await.is(409);
    agent
        .ask("DELETE", "/v1/files/a?recursive=1", &[], "")
        .await
        .is(204);
    agent.ask("DELETE", "/v1/files/a", &[], "").await.is(404);
    agent
        .ask("DELETE", "/v1/files?recursive=1", &[], "")
        .await
        .is(400);
}

#[tokio::test]
async fn large_files_stream_and_have_ranges() {
    let agent = Agent::start();
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    agent.put("/v1/files/big", body.clone()).await.is(201);
    let whole = agent.get("/v1/files/big").await.is(200);
    assert!(whole.body == body);
    let part = agent
        .ask("GET", "/v1/files/big", &[("range", "bytes=-10")], "")
        .await
        .is(206);
    assert_eq!(part.body, body[body.len() - 10..]);
    let stale = [("if-match", whole.header("etag"))];
    agent
        .ask("PUT", "/v1/files/big", &stale, body.clone())
        .await
        .is(200);
    agent
        .ask("PUT", "/v1/files/big", &stale, body)
        .await
        .is(412);
}

#[tokio::test]
async fn paths_that_escape_are_refused() {
    let agent = Agent::start();
    let outside = agent.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "canary").unwrap();
    for (link, target) in [
        ("out", "../outside"),
        ("file", "../outside/secret"),
        ("new", "../outside/new"),
    ] {
        symlink(target, agent.home().join(link)).unwrap();
    }
    symlink(agent.home().join("x"), agent.home().join("absolute")).unwrap();
    symlink("loop", agent.home().join("loop")).unwrap();
    symlink("/proc/self/root", agent.home().join("magic")).unwrap();

    for path in [
        "../outside/secret",
        "%2e%2e/outside/secret",
        "a/../../outside/secret",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "a%00b",
        "a//b",
        "a/",
        "./a",
        &"n".repeat(256),
        &"d/".repeat(2500),
    ] {
        for (method, query) in [
            ("GET", ""),
            ("PUT", "?parents=1"),
            ("DELETE", "?recursive=1"),
            ("POST", "?action=mkdir"),
        ] {
            let answer = agent
                .ask(method, &format!("/v1/files/{path}{query}"), &[], "x")
                .await;
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
            let problem: Problem = answer.json();
            assert_eq!(&*problem.code, "bad_request");
        }
    }
    for path in ["out/secret", "file", "absolute", "loop", "magic/etc/passwd"] {
        let answer = agent.get(&format!("/v1/files/{path}")).await.is(403);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(!answer.text().contains("canary"));
    }
    agent.get("/v1/files/out?list=1").await.is(403);
    for path in ["out/new", "file", "new", "absolute", "loop"] {
        agent
            .put(&format!("/v1/files/{path}"), "evil")
            .await
            .is(403);
    }
    agent
        .put("/v1/files/out/deep/er?parents=1", "evil")
        .await
        .is(403);
    agent
        .post("/v1/files/out/made?action=mkdir", serde_json::Value::Null)
        .await
        .is(403);
    agent
        .ask("DELETE", "/v1/files/out/secret", &[], "")
        .await
        .is(403);
    agent.put("/v1/files/mine", "m").await.is(201);
    agent
        .post(
            "/v1/files/mine?action=move",
            serde_json::json!({"to": "out/m"}),
        )
        .await
        .is(403);
    agent.get("/v1/archive?path=out").await.is(403);
    agent.get("/v1/search?path=out&query=canary").await.is(403);
    agent.get("/v1/watch?path=out").await.is(403);
    agent
        .post(
            "/v1/exec",
            serde_json::json!({"command": ["pwd"], "cwd": "out"}),
        )
        .await
        .is(403);
    agent
        .post("/v1/mkproject", serde_json::json!({"folder": "out/p"}))
        .await
        .is(403);
    // Deleting a link deletes the link.
    agent
        .ask("DELETE", "/v1/files/out?recursive=1", &[], "")
        .await
        .is(204);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(
        fs::read_to_string(outside.join("secret")).unwrap(),
        "canary"
    );
}

#[tokio::test]
async fn links_within_the_home_are_followed() {
    let agent = Agent::start();
    agent.put("/v1/files/d/real", "one").await.is(404);
    agent.put("/v1/files/d/real?parents=1", "one").await.is(201);
    agent.put("/v1/files/e/x?parents=1", "").await.is(201);
    symlink("../d/real", agent.home().join("e/link")).unwrap();
    symlink("e/link", agent.home().join("chain")).unwrap();
    assert_eq!(agent.get("/v1/files/chain").await.is(200).text(), "one");
    agent.put("/v1/files/chain", "two").await.is(200);
    assert!(agent.home().join("chain").is_symlink() && agent.home().join("e/link").is_symlink());
    assert_eq!(
        fs::read_to_string(agent.home().join("d/real")).unwrap(),
        "two"
    );
    let list: Listing = agent.get("/v1/files/e?list=1").await.json();
    assert_eq!(list.entries[0].kind, FileKind::Symlink);
    assert_eq!(list.entries[0].target_kind, Some(FileKind::File));
}

/// `d` is a folder and a link to the outside, in turns, as fast as the kernel can swap them.
#[tokio::test(flavor = "multi_thread")]
async fn swapping_a_link_never_escapes() {
    let agent = Agent::start();
    let outside = agent.dir.path().join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    fs::write(outside.join("secret"), "canary").unwrap();
    fs::create_dir_all(agent.home().join("d/sub")).unwrap();
    fs::write(agent.home().join("d/secret"), "mine").unwrap();
    let (folder, link) = (agent.home().join("d"), agent.home().join("swap"));
    symlink("../outside", &link).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut swaps = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        }
    });
    let begun = Instant::now();
    let (mut worked, mut refused) = (0, 0);
    while begun.elapsed() < Duration::from_millis(2500) {
        for (method, path) in [
            ("GET", "/v1/files/d/secret"),
            ("GET", "/v1/files/d?list=1"),
            ("PUT", "/v1/files/d/written"),
            ("POST", "/v1/files/d/sub/made?action=mkdir"),
            ("DELETE", "/v1/files/d/sub/made"),
            ("DELETE", "/v1/files/d/sub?recursive=1"),
            ("POST", "/v1/files/d/sub?action=mkdir"),
        ] {
            let answer = agent.ask(method, path, &[], "w").await;
            assert!(!answer.text().contains("canary"), "{method} {path}");
            if answer.status < 300 {
                worked += 1
            } else {
                refused += 1
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert!(
        swaps > 1000 && worked > 10 && refused > 10,
        "{swaps} {worked} {refused}"
    );
    let mut left: Vec<_> = fs::read_dir(&outside)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["secret", "sub"]);
    assert_eq!(fs::read_dir(outside.join("sub")).unwrap().count(), 0);
}

#[tokio::test]
async fn stale_writes_are_refused() {
    let agent = Agent::start();
    let first = agent.put("/v1/files/f", "one").await.is(201);
    let tag = first.header("etag").to_owned();
    agent
        .ask("PUT", "/v1/files/f", &[("if-none-match", "*")], "x")
        .await
        .is(412);
    let second = agent
        .ask("PUT", "/v1/files/f", &[("if-match", &tag)], "two")
        .await
        .is(200);
    let refused = agent
        .ask("PUT", "/v1/files/f", &[("if-match", &tag)], "three")
        .await
        .is(412);
    let problem: Problem = refused.json();
    assert_eq!(
        problem.etag.as_deref(),
        Some(second.header("etag").trim_matches('"'))
    );
    // Another program's write counts too, though it keeps size and name.
    fs::write(agent.home().join("f"), "TWO").unwrap();
    agent
        .ask(
            "PUT",
            "/v1/files/f",
            &[("if-match", second.header("etag"))],
            "three",
        )
        .await
        .is(412);
    assert_eq!(agent.get("/v1/files/f").await.text(), "TWO");
    agent
        .ask("PUT", "/v1/files/gone", &[("if-match", &tag)], "x")
        .await
        .is(412);
    agent
        .ask("PUT", "/v1/files/gone", &[("if-match", "*")], "x")
        .await
        .is(412);
    agent
        .ask("PUT", "/v1/files/gone", &[("if-none-match", "*")], "x")
        .await
        .is(201);
}

#[tokio::test]
async fn of_many_writers_with_one_tag_one_wins() {
    let agent = Arc::new(Agent::start());
    // Large enough that comparing takes a while.
    let start = agent.put("/v1/files/f", vec![b's'; 1 << 20]).await;
    let tag = start.header("etag").to_owned();
    let writers: Vec<_> = (0..20)
        .map(|n| {
            let (agent, tag) = (Arc::clone(&agent), tag.clone());
            tokio::spawn(async move {
                agent
                    .ask(
                        "PUT",
                        "/v1/files/f",
                        &[("if-match", &tag)],
                        format!("writer {n}"),
                    )
                    .await
                    .status
            })
        })
        .collect();
    let mut won = 0;
    for writer in writers {
        match writer.await.unwrap() {
            200 => won += 1,
            status => assert_eq!(status, 412),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn replacing_keeps_permissions_but_not_set_uid() {
    let agent = Agent::start();
    let path = agent.home().join("tool");
    fs::write(&path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
    agent
        .put("/v1/files/tool", "#!/bin/sh\necho\n")
        .await
        .is(200);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
        0o755
    );
}

#[tokio::test]
async fn killed_while_writing_leaves_old_or_new() {
    let mut agent = Agent::start();
    let size = 6_000_000;
    let mut content = [vec![b'a'; size], vec![b'b'; size]];
    agent.put("/v1/files/f", content[0].clone()).await.is(201);
    let (mut old, mut new) = (0, 0);
    for round in 0..14_u64 {
        let delay = Duration::from_micros(500 + round * 1500);
        {
            let write = agent.try_ask("PUT", "/v1/files/f", &[], content[1].clone());
            let _ = tokio::time::timeout(delay, write).await;
        }
        agent.kill();
        let now = fs::read(agent.home().join("f")).unwrap();
        if now == content[1] {
            new += 1;
            content.swap(0, 1);
        } else {
            assert!(
                now == content[0],
                "neither old nor new: {} bytes",
                now.len()
            );
            old += 1;
        }
        agent.start_again();
        let names: Vec<_> = fs::read_dir(agent.home())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["f"], "leftovers are swept at start");
    }
    assert!(old > 0, "never killed early: {old} {new}");
}

#[tokio::test]
async fn pipes_and_oversized_bodies_are_refused() {
    let agent = Agent::start();
    rustix::fs::mkfifoat(CWD, agent.home().join("pipe"), 0o600.into()).unwrap();
    agent.get("/v1/files/pipe").await.is(422);
    agent.put("/v1/files/pipe", "x").await.is(409);
    let claim = [("content-length", "5000000000")];
    let answer = agent.try_ask("PUT", "/v1/files/f", &claim, "").await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
    agent
        .ask("POST", "/v1/exec", &[], vec![b' '; (1 << 20) + 1])
        .await
        .is(413);
}

/// The server streams what it forwards: a refusal must outlive the part of the body that comes after it.
#[tokio::test]
async fn a_refusal_arrives_though_the_body_comes_after_it() {
    let agent = Agent::start();
    let mut stream = agent.connect().await;
    let head = "PUT /v1/files/a.txt?parents=x HTTP/1.1\r\nhost: agent\r\ncontent-length: 8\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = vec![0; 4096];
    let length = stream.read(&mut said).await.unwrap();
    let refusal = String::from_utf8_lossy(&said[..length]).into_owned();
    assert!(refusal.starts_with("HTTP/1.1 400"), "{refusal}");
    stream.write_all(b"the body").await.unwrap();
    // And the connection goes on with the next request.
    let next = "GET /v1/hello HTTP/1.1\r\nhost: agent\r\n\r\n";
    stream.write_all(next.as_bytes()).await.unwrap();
    let length = stream.read(&mut said).await.unwrap();
    let answer = String::from_utf8_lossy(&said[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
