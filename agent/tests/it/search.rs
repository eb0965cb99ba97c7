//! Search and watch.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use optidev_agent::wire::{Change, ChangeKind, SearchResult};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::support::Agent;

#[tokio::test]
async fn search_honours_gitignore_and_follows_nothing() {
    let agent = Agent::start();
    let home = agent.home();
    fs::create_dir_all(home.join("p/src")).unwrap();
    fs::create_dir_all(home.join("p/node_modules/x")).unwrap();
    fs::write(agent.dir.path().join("outside"), "Needle").unwrap();
    symlink("../../outside", home.join("p/link")).unwrap();
    fs::write(home.join("p/.gitignore"), "ignored\n").unwrap();
    for (path, text) in [
        ("src/a.rs", "one\nünd Needle needle\r\n"),
        ("src/b.txt", "a.b needle(\n"),
        ("ignored", "needle"),
        ("node_modules/x/i.js", "needle"),
        ("binary", "needle\0"),
        (".env", "needle"),
    ] {
        fs::write(home.join("p").join(path), text).unwrap();
    }
    fs::write(home.join("p/huge"), vec![b'n'; 3 << 20]).unwrap();
    let search = async |query: &str| -> SearchResult {
        agent
            .get(&format!("/v1/search?{query}"))
            .await
            .is(200)
            .json()
    };
    let found = search("path=p&query=needle").await;
    let places: Vec<_> = found
        .matches
        .iter()
        .map(|m| (m.path.as_str(), m.line, m.column))
        .collect();
    assert_eq!(
        places,
        [
            ("p/.env", 1, 1),
            ("p/src/a.rs", 2, 5),
            ("p/src/b.txt", 1, 5)
        ]
    );
    assert_eq!(
        (found.matches[1].text.as_str(), found.truncated),
        ("ünd Needle needle", false)
    );
    assert_eq!(
        search("query=needle&case=1&glob=*.rs").await.matches[0].column,
        12
    );
    assert_eq!(search("query=needle(").await.matches.len(), 1);
    assert_eq!(search("query=a.b&regex=0").await.matches.len(), 1);
    assert_eq!(search("query=%5Eone%24&regex=1").await.matches.len(), 1);
    let cut = search("query=needle&limit=1").await;
    assert_eq!((cut.matches.len(), cut.truncated), (1, true));
    agent.get("/v1/search?query=(&regex=1").await.is(400);
    agent.get("/v1/search?query=").await.is(400);
    agent.get("/v1/search?query=x&limit=0").await.is(400);
}

async fn next(lines: &mut tokio::io::Lines<BufReader<UnixStream>>) -> Change {
    let read = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), read)
        .await
        .expect("a change")
}

#[tokio::test]
async fn watch_tells_what_changed() {
    let agent = Agent::start();
    fs::create_dir_all(agent.home().join("p/node_modules")).unwrap();
    fs::write(agent.home().join("p/old"), "").unwrap();
    let mut stream = agent.connect().await;
    stream
        .write_all(b"GET /v1/watch?path=p HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut lines = BufReader::new(stream).lines();
    while !lines.next_line().await.unwrap().unwrap().is_empty() {}
    let change = |path: &str, kind| Change {
        path: path.to_owned(),
        kind,
    };

    agent.put("/v1/files/p/old", "replaced").await.is(200);
    assert_eq!(
        next(&mut lines).await,
        change("p/old", ChangeKind::Modified)
    );
    agent.put("/v1/files/p/new", "x").await.is(201);
    assert_eq!(next(&mut lines).await, change("p/new", ChangeKind::Created));
    fs::write(agent.home().join("p/node_modules/quiet"), "").unwrap();
    agent
        .put("/v1/files/p/a/b/c?parents=1", "deep")
        .await
        .is(201);
    assert_eq!(next(&mut lines).await, change("p/a", ChangeKind::Created));
    assert_eq!(next(&mut lines).await, change("p/a/b", ChangeKind::Created));
    assert_eq!(
        next(&mut lines).await,
        change("p/a/b/c", ChangeKind::Created)
    );
    fs::write(agent.home().join("p/a/b/c"), "again").unwrap();
    assert_eq!(
        next(&mut lines).await,
        change("p/a/b/c", ChangeKind::Modified)
    );
    fs::remove_dir_all(agent.home().join("p/a")).unwrap();
    for path in ["p/a", "p/a/b", "p/a/b/c"] {
        assert_eq!(next(&mut lines).await, change(path, ChangeKind::Removed));
    }
    // Stopped, so that all of it comes in one gathering.
    agent.signal(Signal::STOP);
    for n in 0..1500 {
        fs::write(agent.home().join(format!("p/many{n}")), "").unwrap();
    }
    agent.signal(Signal::CONT);
    loop {
        let told = next(&mut lines).await;
        if told.kind == ChangeKind::Overflow {
            assert_eq!(told.path, "p");
            break;
        }
    }
}
