//! A vault process that is started apart from the server, under a user of its own: who is answered, what the server's user
//! cannot do, and what a server does without its vault. Needs root, to be two users.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use optidev::vault::{VaultClient, VaultError};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::attack::{attacks, is_root};
use super::harness::OPTIDEV;
use crate::members::signed_in;
use crate::support::server::{Builder, Server};

pub const SERVER: u32 = 64_301;
const VAULT: u32 = 64_302;
/// What both have beside their own, for the socket.
pub const SHARED: u32 = 64_303;

/// The folders of the two users, and the vault process while it runs.
pub struct Apart {
    folder: tempfile::TempDir,
    vault: Option<Child>,
}

impl Apart {
    /// Makes the folders and a master secret that the vault's user alone can read.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let apart = Self {
            folder,
            vault: None,
        };
        fs::set_permissions(apart.path(""), Permissions::from_mode(0o755)).unwrap();
        // By another process: who starts a program that this one has open for writing is refused.
        let copied = Command::new("cp")
            .arg(OPTIDEV)
            .arg(apart.path("optidev"))
            .status();
        assert!(copied.unwrap().success());
        for (name, owner, group, mode) in [
            ("master", VAULT, VAULT, 0o700),
            ("state", VAULT, VAULT, 0o700),
            ("socket", VAULT, SHARED, 0o2750),
        ] {
            apart.folder_of(owner, group, mode, name);
        }
        let made = apart.run(VAULT, &["vault", "new-master", "--out"], "master");
        assert!(made.status.success(), "{made:?}");
        let read_only = Permissions::from_mode(0o400);
        fs::set_permissions(apart.path("master/master"), read_only).unwrap();
        apart
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Makes a folder, where it is not there yet.
    pub fn folder_of(&self, owner: u32, group: u32, mode: u32, name: &str) -> PathBuf {
        let path = self.path(name);
        if !path.exists() {
            fs::create_dir(&path).unwrap();
            chown(&path, Some(owner), Some(group)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        path
    }

    /// A command as `uid`, which has the shared group too.
    pub fn as_user(&self, uid: u32, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args([
                format!("--reuid={uid}"),
                format!("--regid={uid}"),
                format!("--groups={SHARED}"),
            ])
            .arg(program)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    /// Runs `optidev <arguments> <path>` as `uid`.
    pub fn run(&self, uid: u32, arguments: &[&str], path: &str) -> std::process::Output {
        self.as_user(uid, self.path("optidev").to_str().unwrap())
            .args(arguments)
            .arg(self.path(path))
            .output()
            .unwrap()
    }

    pub fn start_vault(&mut self) {
        self.start_vault_by(&[], &[]);
    }

    /// Starts it by another command, which is given the vault's own behind its arguments; with more arguments for the vault.
    pub fn start_vault_by(&mut self, starter: &[&str], more: &[String]) {
        let out = File::options()
            .create(true)
            .append(true)
            .open(self.path("stdout"));
        let as_vault = self.as_user(VAULT, self.path("optidev").to_str().unwrap());
        let mut words = starter.iter().map(std::ffi::OsStr::new).collect::<Vec<_>>();
        words.push(as_vault.get_program());
        words.extend(as_vault.get_args());
        let child = Command::new(words[0])
            .args(&words[1..])
            .current_dir("/")
            .stdin(Stdio::null())
            .args(["vault", "serve", "--record-to-stdout"])
            .arg(format!("--client-uid={SERVER}"))
            .arg("--socket")
            .arg(self.path("socket/vault.sock"))
            .arg("--master-file")
            .arg(self.path("master/master"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(more)
            .stdout(Stdio::from(out.unwrap()))
            .stderr(Stdio::null())
            .spawn();
        self.vault = Some(child.unwrap());
    }

    /// Waits until the vault answers this test, if only to refuse it.
    pub async fn answering(&self) -> VaultError {
        let client = VaultClient::new(self.path("socket/vault.sock"));
        let begun = Instant::now();
        loop {
            match client.status().await.unwrap_err() {
                VaultError::Unavailable { reason, .. } => {
                    assert!(begun.elapsed() < Duration::from_secs(20), "{reason}");
                }
                error => return error,
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends the vault `signal`, and answers its exit code.
    fn end_vault(&mut self, signal: Signal) -> Option<i32> {
        let mut child = self.vault.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap().code()
    }

    /// A server of this vault that runs as `uid`, and has no containers.
    pub fn server(&self, uid: u32) -> Builder {
        let program = self.path(&format!("as-{uid}"));
        let script = format!(
            "#!/bin/sh\nexec setpriv --reuid={uid} --regid={uid} --groups={SHARED} {} \"$@\"\n",
            self.path("optidev").display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let socket = self.path("socket/vault.sock").display().to_string();
        let own = self.folder_of(uid, uid, 0o700, &format!("server-{uid}"));
        Server::builder()
            .program(program)
            .data_dir(&own.join("data"))
            .set("vault.socket", socket)
            .set("runtime.kind", "none")
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(child) = &mut self.vault {
            // What another command started does not end with it: the signal for that is lost where the user changes.
            let id = child.id();
            let below = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
            for below in below.unwrap_or_default().split_whitespace() {
                let pid = below.parse().ok().and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn readiness(server: &Server) -> (u16, serde_json::Value) {
    let answer = server.anonymous().get("//readyz").await;
    (answer.status, answer.json())
}

/// Waits for an answer of `/readyz` with this status.
async fn becomes(server: &Server, status: u16) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let (found, said) = readiness(server).await;
        if found == status {
            return said;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{found}: {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_server_waits_for_its_vault_and_comes_back_with_it() {
    if !is_root() {
        eprintln!("not root, so this cannot be two users");
        return;
    }
    let mut apart = Apart::new();
    let mut server = apart.server(SERVER).spawn();
    let begun = Instant::now();
    while !server.logs().contains("waiting for the vault process") {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{}",
            server.logs()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(server.sign_in_url().is_none());
    apart.start_vault();
    server.wait_ready().await;
    assert_eq!(server.children(""), Vec::<u32>::new(), "it starts nothing");

    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let workspace = format!("/workspaces/{}", api.workspace().await);
    let secret = format!("{workspace}/secrets/KEPT");
    let value = json!({"tier": "masked", "value": "kept through it all"});
    api.put(&secret, &value).await.expect(200);
    let mut browser = signed_in(&server, "ada@example.com").await;
    let reveal = format!("{secret}/reveal");
    let shown = (200, r#"{"value":"kept through it all"}"#.to_owned());
    let asked = browser.api("POST", &reveal, None).await;
    assert_eq!(asked, shown);

    assert_eq!(apart.end_vault(Signal::KILL), None);
    let said = becomes(&server, 503).await;
    assert_eq!(
        (&said["vault"], &said["database"]),
        (&json!("unavailable"), &json!("ok"))
    );
    apart.start_vault();
    becomes(&server, 200).await;
    // Neither the session nor the value was lost with the process.
    let asked = browser.api("POST", &reveal, None).await;
    assert_eq!(asked, shown);

    // The record is on standard output, and its own folder has what it knows of the audit log.
    let record = fs::read_to_string(apart.path("stdout")).unwrap();
    let lines: Vec<serde_json::Value> = record
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reveals = lines.iter().filter(|line| line["operation"] == "reveal");
    assert_eq!(reveals.count(), 2, "{record}");
    assert!(apart.path("state/anchors").exists());
    assert!(!apart.path("state/record.jsonl").exists());
    assert_eq!(apart.end_vault(Signal::TERM), Some(0));

    // A server that waits can be told to stop.
    server.terminate().await;
    let mut waiting = apart.server(SERVER).spawn();
    while !waiting.logs().contains("waiting for the vault process") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(waiting.terminate().await.success());
}

#[tokio::test]
async fn nobody_but_the_named_user_is_answered() {
    if !is_root() {
        eprintln!("not root, so this cannot be two users");
        return;
    }
    let mut apart = Apart::new();
    apart.start_vault();
    // Root passes the socket's mode, and is refused by the vault itself; so is somebody of the shared group.
    let VaultError::Refused { reason } = apart.answering().await else {
        panic!("root was answered");
    };
    assert!(reason.contains(&format!("user {SERVER} only")), "{reason}");
    let socket = apart.path("socket/vault.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let (status, said) = apart.server(SERVER + 9).start_and_fail().await;
    assert!(!status.success(), "{said}");
    for part in ["[vault] socket", &format!("--client-uid {}", SERVER + 9)] {
        assert!(said.contains(part), "{said}");
    }
    // A probe needs no answer but that one; where nothing listens there is none.
    let alive = ["vault", "alive", "--socket"];
    let probe = |path| apart.run(VAULT, &alive, path);
    assert!(probe("socket/vault.sock").status.success());
    let none = probe("socket/nothing.sock");
    assert!(!none.status.success());
    assert!(String::from_utf8_lossy(&none.stderr).contains("nothing.sock"));
    // Without the group the folder is closed already.
    let outside = Command::new("setpriv")
        .args(["--reuid=64309", "--regid=64309", "--clear-groups"])
        .arg(apart.path("optidev"))
        .args(alive)
        .arg(&socket)
        .output()
        .unwrap();
    assert!(!outside.status.success());
}

#[tokio::test]
async fn a_server_in_another_pid_namespace_is_answered() {
    if !is_root() {
        eprintln!("not root, so this cannot be two users");
        return;
    }
    let mut apart = Apart::new();
    // As in a pod, where each container has a namespace of its own: the kernel has no number for the other's process.
    apart.start_vault_by(&["unshare", "--pid", "--fork", "--kill-child"], &[]);
    let VaultError::Refused { .. } = apart.answering().await else {
        panic!("root was answered");
    };
    let answered = apart.run(SERVER, &["vault", "alive", "--socket"], "socket/vault.sock");
    assert!(answered.status.success(), "{answered:?}");
}

#[tokio::test]
async fn the_servers_user_can_neither_read_the_master_nor_look_into_the_vault() {
    if !is_root() {
        eprintln!("not root, so this cannot be two users");
        return;
    }
    let mut apart = Apart::new();
    apart.start_vault();
    apart.answering().await;
    let reads = |uid, path: &Path| {
        let output = apart.as_user(uid, "cat").arg(path).output();
        output.unwrap().status.success()
    };
    let master = apart.path("master/master");
    assert!(reads(VAULT, &master), "else this test shows nothing");
    assert!(!reads(SERVER, &master));
    let pid = apart.vault.as_ref().unwrap().id();
    let through = PathBuf::from(format!("/proc/{pid}/root{}", master.display()));
    assert!(!reads(SERVER, &through));
    // Nor by the file's mode alone, were the folder open.
    fs::set_permissions(apart.path("master"), Permissions::from_mode(0o755)).unwrap();
    assert!(!reads(SERVER, &master));
    let tried = attacks(apart.folder.path(), Some(SERVER), pid);
    assert_eq!(tried.len(), 13);
    for (name, possible) in tried {
        assert!(!possible, "{name} is possible");
    }
}

#[tokio::test]
async fn a_second_master_is_never_made_over_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let make = || {
        Command::new(OPTIDEV)
            .args(["vault", "new-master", "--out"])
            .arg(folder.path().join("new"))
            .output()
            .unwrap()
    };
    assert!(make().status.success());
    let read = || fs::read(folder.path().join("new/master")).unwrap();
    let first = read();
    let again = make();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("never replaced"));
    assert_eq!(read(), first);
}

#[tokio::test]
async fn without_a_runtime_no_container_starts_and_the_answer_says_why() {
    // The vault is the server's own here: both settings go alone.
    let server = Server::builder().set("runtime.kind", "none").start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let containers = format!("/workspaces/{}/containers", api.workspace().await);
    let refused = api.post(&containers, &json!({})).await;
    let said = refused.problem(409, "conflict");
    assert!(
        said["detail"].as_str().unwrap().contains("[runtime] kind"),
        "{said}"
    );
    assert_eq!(api.get(&containers).await.ok()["items"], json!([]));
}
