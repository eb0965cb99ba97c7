//! Real parts for the tests: the executable, its API, its terminals, an upstream AI, a project, the registry.
//!
//! Everything but `installed` runs on loopback and on free ports, is stopped when the test drops it, and prints what it knows
//! when a test fails. Tests state behaviour over HTTP; nothing here reaches into the server.
#![allow(dead_code, reason = "each test uses its own part of the support")]

pub mod api;
pub mod egress;
pub mod events;
pub mod held;
pub mod installed;
pub mod mail;
pub mod objects;
pub mod postgres;
pub mod processes;
pub mod project;
pub mod redis;
pub mod server;
pub mod terminal;
pub mod upstream;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Asks `question` again until it answers, every 25 ms.
///
/// # Panics
/// When `limit` passes first; the message says `what` was waited for.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut question: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Where tests keep what people may want to look at afterwards, such as screenshots: `target/test-output/<name>`.
pub fn output_dir(name: &str) -> PathBuf {
    let folder = target_dir().join("test-output").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The build's target folder.
pub fn target_dir() -> PathBuf {
    // CARGO_TARGET_TMPDIR is <target>/tmp.
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// Node.js that `scripts/need node` installed because the machine's own is too old, if it had to.
pub fn node_tools() -> Option<PathBuf> {
    let folder = target_dir().join("tools/node");
    folder.join("bin/node").exists().then_some(folder)
}

/// `PATH` with [`node_tools`] first.
pub fn path_variable() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    node_tools().map_or(path.clone(), |folder| {
        format!("{}/bin:{path}", folder.display())
    })
}
