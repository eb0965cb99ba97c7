//! `optidev doctor`, and a server that demands what is not there: under a limit that leaves no memory for `memfd_secret`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::harness::OPTIDEV;
use crate::support::server::Server;

/// The executable, in a process that may lock no memory: `memfd_secret(2)` counts as locked.
fn without_locked_memory(folder: &Path) -> PathBuf {
    let program = folder.join("optidev");
    let text = format!(
        "#!/bin/sh\nulimit -l 0\nif [ \"$(id -u)\" = 0 ]; then\n\
         exec setpriv --inh-caps=-ipc_lock --bounding-set=-ipc_lock {OPTIDEV} \"$@\"\nfi\nexec {OPTIDEV} \"$@\"\n"
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

async fn doctor(server: &Server) -> (Option<i32>, Value) {
    let (status, said, error) = server.cli(&["doctor", "--json"], "").await;
    let told = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{error}"));
    (status.code(), told)
}

fn check<'a>(told: &'a Value, name: &str) -> &'a Value {
    let checks = told["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {told}"))
}

#[tokio::test]
async fn it_says_what_is_there_and_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::builder().start().await;
    let (code, told) = doctor(&server).await;
    let missing = |check: &&Value| check["ok"] == false && check["needed"] == true;
    let all = told["checks"].as_array().unwrap();
    assert_eq!(
        code,
        Some(i32::from(all.iter().any(|one| missing(&one)))),
        "{told}"
    );
    for name in [
        "memfd_secret",
        "landlock for the server",
        "seccomp",
        "redactor",
        "database",
        "redis",
        "clock",
    ] {
        assert_eq!(check(&told, name)["ok"], true, "{told}");
    }
    let left = std::fs::read_dir(server.data_dir().join("run")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().contains("doctor")),
        "{left:?}"
    );
    let poor = Server::builder()
        .program(without_locked_memory(folder.path()))
        .start()
        .await;
    let (code, told) = doctor(&poor).await;
    assert_eq!(code, Some(1), "{told}");
    let memory = check(&told, "memfd_secret");
    assert_eq!(memory["ok"], false);
    assert!(
        memory["remedy"]
            .as_str()
            .unwrap()
            .contains("RLIMIT_MEMLOCK")
    );
}

#[tokio::test]
async fn a_server_that_demands_hardening_does_not_start_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let program = without_locked_memory(folder.path());
    let demanding = || Server::builder().set("vault.require_hardening", "true");
    let (status, said) = demanding().program(program).start_and_fail().await;
    assert!(!status.success(), "{said}");
    assert!(
        said.contains("memfd_secret pages for the root keys"),
        "{said}"
    );
    // The same setting where nothing is missing.
    demanding().start().await;
}
