//! An upgrade and its undoing while people work: what they asked is answered, and their containers do not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::killed::{COUNT, counts};
use crate::support::api::Api;
use crate::support::installed::Installed;
use crate::support::terminal::Terminal;

const CLIENTS: usize = 4;

/// What clients saw, together.
#[derive(Debug, Default)]
struct Seen {
    enough: AtomicBool,
    answered: AtomicU32,
    /// Asked a second time on a new connection, because the first ended without an answer.
    repeated: AtomicU32,
    failed: AtomicU32,
}

/// Counted are GET requests over connections that stay open between them. A connection that its server has ended meanwhile is found
/// out by the next request on it, and HTTP (RFC 9110, 9.2.2) lets a client repeat that: this one does so once. reqwest repeats by itself
/// what it had not begun to send; that is not seen here.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn nothing_is_lost_by_an_upgrade_and_a_rollback() {
    let installed = Installed::given();
    let api = installed.api("owner");
    let container = installed.container("owner").await;
    // Whose processes these are, and since when.
    let identity = async || {
        let started = container.sh("cut -d' ' -f22 /proc/1/stat").await;
        (installed.pod_of(&container.id).unwrap(), started)
    };
    let before = identity().await;
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|at| {
            let paths = ["/me".to_owned(), container.path.clone()];
            let path = paths[at % paths.len()].clone();
            tokio::spawn(ask(installed.api("owner"), path, Arc::clone(&seen)))
        })
        .collect();
    let (id, mut terminal) = Terminal::create(&api, &container.path).await;
    terminal.send(COUNT).await;
    let path = format!("{}/terminals/{id}", container.path);
    let watcher = tokio::spawn(watch(
        api.clone(),
        path.clone(),
        terminal,
        Arc::clone(&seen),
    ));

    let values = installed.values_file.clone();
    let revision = revision(&installed);
    let servers = installed.replicas();
    let changed = installed.clone();
    tokio::task::spawn_blocking(move || {
        let level = "log.level=debug";
        let upgrade = [
            "upgrade",
            &changed.release,
            "helm/optidev",
            "-f",
            &values,
            "--set",
            level,
        ];
        changed.helm(&[&upgrade[..], &["--wait", "--timeout", "5m"]].concat());
    })
    .await
    .unwrap();
    let upgraded = installed.replicas();
    assert!(
        upgraded.iter().all(|pod| !servers.contains(pod)),
        "the upgrade replaced no server: {upgraded:?}"
    );
    assert_eq!(identity().await, before, "after the upgrade");
    let answered = seen.answered.load(Ordering::Relaxed);
    let back = installed.clone();
    tokio::task::spawn_blocking(move || {
        back.helm(&[
            "rollback",
            &back.release,
            &revision,
            "--wait",
            "--timeout",
            "5m",
        ])
    })
    .await
    .unwrap();
    assert!(
        installed
            .replicas()
            .iter()
            .all(|pod| !upgraded.contains(pod))
    );
    assert_eq!(identity().await, before, "after the rollback");

    seen.enough.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let (connections, numbers) = watcher.await.unwrap();
    api.delete(&path).await.ok();
    let (all, repeated, failed) = (
        seen.answered.load(Ordering::Relaxed),
        seen.repeated.load(Ordering::Relaxed),
        seen.failed.load(Ordering::Relaxed),
    );
    eprintln!(
        "{answered} GETs answered during the upgrade and {} during the rollback, {repeated} of them at the second try, {failed} failed; \
         a terminal's {numbers} numbers came over {connections} connections",
        all - answered
    );
    assert_eq!(failed, 0);
    assert!(answered > 100, "too few to tell: {answered}");
}

fn revision(installed: &Installed) -> String {
    let listed = installed.helm(&["history", &installed.release, "--max", "1", "-o", "json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    listed[0]["revision"].to_string()
}

async fn ask(api: Api, path: String, seen: Arc<Seen>) {
    let get = async || api.request(reqwest::Method::GET, &path).send().await;
    while !seen.enough.load(Ordering::Relaxed) {
        let mut answer = get().await;
        if let Err(error) = &answer {
            eprintln!("GET {path} is asked again: {error:?}");
            seen.repeated.fetch_add(1, Ordering::Relaxed);
            answer = get().await;
        }
        // With its body, whole.
        let good = match answer {
            Ok(answer) => answer.status() == 200 && answer.bytes().await.is_ok(),
            Err(_) => false,
        };
        if good {
            seen.answered.fetch_add(1, Ordering::Relaxed);
        } else {
            eprintln!("GET {path} failed");
            seen.failed.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Follows a terminal over as many connections as it takes; answers how many those were, and how many numbers came.
async fn watch(api: Api, path: String, mut terminal: Terminal, seen: Arc<Seen>) -> (usize, usize) {
    let (mut connections, mut output) = (1, Vec::new());
    loop {
        let more = terminal.receive().await;
        let enough = seen.enough.load(Ordering::Relaxed);
        if more && !enough {
            continue;
        }
        assert!(terminal.gaps.is_empty());
        output.append(&mut terminal.output);
        if enough {
            return (connections, counts(&output));
        }
        terminal = Terminal::resume(&api, &path, terminal.next, Duration::from_secs(10)).await;
        connections += 1;
    }
}
