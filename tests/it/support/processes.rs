//! Finds and ends the processes of one server, found by parentage and by its data folder's unique path.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The children of `pid` and theirs, without `pid` itself.
pub fn descendants(pid: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = all()
        .into_iter()
        .filter_map(|child| Some((child, parent(child)?)))
        .collect();
    let mut found = BTreeSet::from([pid]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(child, parent)| found.contains(parent) && !found.contains(child))
            .map(|(child, _)| *child)
            .collect();
        if more.is_empty() {
            found.remove(&pid);
            return found;
        }
        found.extend(more);
    }
}

/// Processes whose command line, environment or mounts name `folder`, such as those that a killed server left behind.
pub fn naming(folder: &Path) -> BTreeSet<u32> {
    let wanted = folder.as_os_str().as_encoded_bytes();
    let own = std::process::id();
    let names = |pid: u32, file: &str| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        text.windows(wanted.len()).any(|window| window == wanted)
    };
    all()
        .into_iter()
        .filter(|pid| {
            *pid != own
                && (names(*pid, "cmdline") || names(*pid, "environ") || names(*pid, "mountinfo"))
        })
        .collect()
}

/// The command line of `pid`, for people.
pub fn command(pid: u32) -> String {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .replace('\0', " ")
        .trim()
        .to_owned()
}

/// Resident memory of `pid` in KiB; 0 when it is gone.
pub fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Sends `signal`; a process that is gone already is fine.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether `pid` runs (a zombie does not).
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.1.parse().ok()
}

/// State and parent. The name before them may hold anything, a closing parenthesis included.
fn stat(pid: u32) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

#[test]
fn processes_are_found_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "sleep 61 & sh -c 'sleep 62; true' {} & wait",
        folder.path().display()
    );
    let mut shell = std::process::Command::new("sh")
        .args(["-c", &script])
        .spawn()
        .unwrap();
    let start = std::time::Instant::now();
    while descendants(shell.id()).len() < 3 {
        assert!(
            start.elapsed().as_secs() < 10,
            "found only {:?}",
            descendants(shell.id())
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let below = descendants(shell.id());
    assert!(below.iter().any(|pid| command(*pid).contains("sleep 61")));
    let naming = naming(folder.path());
    assert!(
        naming.contains(&shell.id()) && naming.len() == 2,
        "{naming:?}"
    );
    assert!(resident_kib(shell.id()) > 0 && is_alive(shell.id()));
    below.iter().for_each(|pid| signal(*pid, Signal::KILL));
    shell.wait().unwrap();
    assert!(!is_alive(shell.id()));
}
