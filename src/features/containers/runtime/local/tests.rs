//! The local runtime on this machine, with the real agent.

use std::time::{Duration, Instant};

use optidev_agent::wire;

use super::super::{EgressHandler, egress};
use super::*;
use crate::clients::agent::{Agent, Agents, Endpoint};
use crate::features::containers::model::Identity;
use crate::kernel::{Rng, UserId, WorkspaceId};

/// Only tells late from never: the machine may be busy.
const SOON: Duration = Duration::from_secs(30);

struct Machine {
    folder: tempfile::TempDir,
    runtime: LocalRuntime,
    agents: Agents,
    tasks: tokio_util::task::TaskTracker,
    ways_out: std::sync::Mutex<Vec<egress::Egress>>,
    started: std::sync::Mutex<Vec<(i32, Option<u64>)>>,
}

/// A container outlives what started it, so a failed test has to end its own.
impl Drop for Machine {
    fn drop(&mut self) {
        for (pid, ticks) in self.started.lock().unwrap().drain(..) {
            if procfs::start_ticks(pid) == ticks && ticks.is_some() {
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    rustix::process::Signal::KILL,
                );
            }
        }
    }
}

impl Machine {
    fn new(config: LocalRuntimeConfig) -> Self {
        Self::below(&std::env::temp_dir(), config)
    }

    fn below(parent: &std::path::Path, config: LocalRuntimeConfig) -> Self {
        let folder = tempfile::tempdir_in(parent).unwrap();
        // As a careful operator's data folder: nobody else gets in.
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )
        .unwrap();
        let runtime = LocalRuntime::open(
            &config,
            "apps.example.com",
            folder.path().join("containers"),
            Clock::system(),
        )
        .unwrap();
        Self {
            folder,
            runtime,
            agents: Agents::new(),
            tasks: tokio_util::task::TaskTracker::new(),
            ways_out: Default::default(),
            started: Default::default(),
        }
    }

    async fn start(&self, id: ContainerId) -> (Process, Agent) {
        self.runtime.prepare_volume(id).await.unwrap();
        let instance = self.runtime.launch(id).await.unwrap();
        self.started
            .lock()
            .unwrap()
            .push((instance.pid(), procfs::start_ticks(instance.pid())));
        let agent = self.agents.set(id, endpoint(&instance));
        let since = Instant::now();
        while let Err(error) = agent.hello().await {
            assert!(since.elapsed() < SOON, "{error}: {}", instance.last_words());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.runtime.prove_isolation(&instance).await.unwrap();
        let who = Identity {
            workspace: WorkspaceId::new(&Clock::system(), &Rng),
            container: id,
            owner: UserId::new(&Clock::system(), &Rng),
        };
        let echo: EgressHandler = std::sync::Arc::new(|_, mut stream| {
            Box::pin(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(1..) = stream.read_buf(&mut head).await else {
                        return;
                    };
                }
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\nconnection: close\r\n\r\nproxy").await;
            })
        });
        let listener = self.runtime.bind_egress(&instance).unwrap();
        let open = egress::serve(listener, who, echo, &self.tasks).unwrap();
        self.ways_out.lock().unwrap().push(open);
        (instance, agent)
    }
}

fn endpoint(process: &Process) -> Endpoint {
    Endpoint::Unix {
        folder: process.socket_folder(),
        name: AGENT_SOCKET.to_owned(),
    }
}

fn id() -> ContainerId {
    ContainerId::new(&Clock::system(), &Rng)
}

async fn sh(agent: &Agent, script: &str) -> wire::ExecResult {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    agent
        .exec(&wire::ExecRequest {
            command,
            timeout_ms: Some(20_000),
            ..Default::default()
        })
        .await
        .unwrap()
}

/// Whether the container may have as many processes as a short pipe needs.
async fn can_start(agent: &Agent) -> bool {
    let command = ["sh", "-c", "true | true | true"]
        .map(str::to_owned)
        .to_vec();
    agent
        .exec(&wire::ExecRequest {
            command,
            timeout_ms: Some(20_000),
            ..Default::default()
        })
        .await
        .is_ok_and(|done| done.exit_code == Some(0))
}

#[tokio::test]
async fn a_container_sees_nothing_of_the_host_and_reaches_nothing() {
    let machine = Machine::new(LocalRuntimeConfig::default());
    let (own, other) = (id(), id());
    let (first, agent) = machine.start(own).await;
    let (second, neighbour) = machine.start(other).await;

    let out = sh(
        &agent,
        "id -un; id -u; pwd; cat /proc/self/status | grep -E 'CapEff|NoNewPrivs'",
    )
    .await;
    assert_eq!(
        out.stdout, "dev\n1000\n/home/dev\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n",
        "{}",
        out.stderr
    );

    let data = machine.folder.path().display().to_string();
    for path in [
        "/root",
        "/work",
        "/etc/shadow",
        "/sys",
        "/boot",
        "/var/run",
        "/mnt",
        &data,
        "/run/user",
    ] {
        let out = sh(&agent, &format!("ls -d {path}")).await;
        assert_ne!(out.exit_code, Some(0), "{path} is visible: {}", out.stdout);
    }
    let out = sh(
        &agent,
        &format!(
            "find / -name '{}*' 2>/dev/null; ls /home; ls /proc | grep -c '^[0-9]'",
            other
        ),
    )
    .await;
    let lines: Vec<&str> = out.stdout.lines().collect();
    // Those of bubblewrap, the agent, this shell, `ls` and `grep`: no others are seen.
    let count: u32 = lines[1].parse().unwrap();
    assert!(lines[0] == "dev" && (3..=6).contains(&count), "{lines:?}");

    sh(&agent, "touch /tmp/mine /dev/shm/mine /var/tmp/mine").await;
    let look = "ls -A /tmp /dev/shm /var/tmp/ | grep -c mine";
    assert_eq!(sh(&agent, look).await.stdout, "3\n");
    assert_eq!(sh(&neighbour, look).await.stdout, "0\n");
    assert!(!std::path::Path::new("/tmp/mine").exists());

    // Certificates are shown, the keys beside them are not, not even as a locked folder.
    let script = "ls /etc/ssl; head -c 11 /etc/ssl/certs/ca-certificates.crt";
    let out = sh(&agent, script).await;
    assert_eq!(out.stdout, "certs\nopenssl.cnf\n-----BEGIN ", "{out:?}");

    for (what, script) in [
        (
            "write to the system",
            "touch /usr/x || touch /etc/x || touch /x || touch /run/x",
        ),
        ("make a user namespace", "unshare -U true"),
        ("mount", "mount -t tmpfs none /tmp"),
        ("become root", "su -c true || sudo true"),
        (
            "exchange the egress socket",
            "rm -f /run/optidev/egress/egress.sock",
        ),
        ("make a device", "mknod /tmp/d b 254 0"),
        ("reach the network", "exec 3<>/dev/tcp/1.1.1.1/53"),
        (
            "reach the host's loopback",
            "bash -c 'exec 3<>/dev/tcp/127.0.0.1/22'",
        ),
        ("resolve names", "getent hosts example.com"),
    ] {
        assert_ne!(
            sh(&agent, script).await.exit_code,
            Some(0),
            "user code could {what}"
        );
    }
    let out = sh(&agent, "cat /proc/net/dev | tail -n +3 | cut -d: -f1").await;
    assert_eq!(out.stdout.trim(), "lo");
    // The way out that there is leads to the server's handler.
    let script =
        "exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT a:443 HTTP/1.1\\r\\n\\r\\n' >&3; cat <&3";
    let command = ["bash", "-c", script].map(str::to_owned).to_vec();
    let out = agent
        .exec(&wire::ExecRequest {
            command,
            ..Default::default()
        })
        .await
        .unwrap();
    assert!(out.stdout.ends_with("proxy"), "{out:?}");

    machine.runtime.kill(first).await.unwrap();
    machine.runtime.kill(second).await.unwrap();
}

/// As when a checkout and its tools are below root's own folder: the container's user cannot pass through that.
#[tokio::test]
async fn a_toolchain_below_a_folder_that_only_the_server_enters_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    let tool = closed.join("tool");
    std::fs::create_dir_all(&tool).unwrap();
    std::fs::write(tool.join("hello"), "#!/bin/sh\necho hello\n").unwrap();
    std::fs::write(closed.join("beside"), "").unwrap();
    for (path, mode) in [
        (tool.join("hello"), 0o755),
        (tool.clone(), 0o755),
        (closed.clone(), 0o700),
        (folder.path().to_owned(), 0o700),
    ] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let machine = Machine::new(LocalRuntimeConfig {
        toolchains: vec!["/usr".into(), tool.clone()],
        path: vec![tool.clone()],
        ..LocalRuntimeConfig::default()
    });
    let (instance, agent) = machine.start(id()).await;
    let script = format!(
        "hello && ls {}; touch {}/x",
        closed.display(),
        tool.display()
    );
    let out = sh(&agent, &script).await;
    assert_eq!(out.stdout, "hello\ntool\n", "{}", out.stderr);
    assert!(out.stderr.contains("Read-only"), "{}", out.stderr);
    machine.runtime.kill(instance).await.unwrap();
}

/// Root gathers what a container sees at /mnt, where disks for data are often mounted.
#[tokio::test]
async fn data_and_toolchains_may_lie_below_mnt() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: only root can make a folder below /mnt, and only root gathers there");
        return;
    }
    let tools = tempfile::tempdir_in("/mnt").unwrap();
    std::fs::write(tools.path().join("file"), "there").unwrap();
    let machine = Machine::below(
        std::path::Path::new("/mnt"),
        LocalRuntimeConfig {
            toolchains: vec!["/usr".into(), tools.path().to_owned()],
            ..LocalRuntimeConfig::default()
        },
    );
    let (instance, agent) = machine.start(id()).await;
    let out = sh(&agent, &format!("cat {}/file", tools.path().display())).await;
    assert_eq!(out.stdout, "there", "{}", out.stderr);
    machine.runtime.kill(instance).await.unwrap();
}

#[tokio::test]
async fn a_container_outlives_its_server_and_is_found_again() {
    let machine = Machine::new(LocalRuntimeConfig::default());
    let own = id();
    let (instance, agent) = machine.start(own).await;
    let hello = agent.hello().await.unwrap();
    machine
        .runtime
        .remember(&instance, &hello.boot_id)
        .await
        .unwrap();
    sh(&agent, "echo kept > file").await;
    drop(instance);

    let mut again = machine
        .runtime
        .adopt(own)
        .await
        .unwrap()
        .expect("it still runs");
    assert_eq!(again.boot_id(), Some(hello.boot_id.as_str()));
    let agent = machine.agents.set(own, endpoint(&again));
    assert_eq!(agent.hello().await.unwrap().boot_id, hello.boot_id);
    machine.runtime.prove_isolation(&again).await.unwrap();

    // A killed agent is noticed by its end, and takes everything with it.
    let command = ["sh", "-c", "kill -9 $PPID"].map(str::to_owned).to_vec();
    let _ = agent
        .exec(&wire::ExecRequest {
            command,
            ..Default::default()
        })
        .await;
    tokio::time::timeout(SOON, again.ended()).await.unwrap();
    machine.runtime.kill(again).await.unwrap();
    assert!(machine.runtime.adopt(own).await.unwrap().is_none());

    let (instance, agent) = machine.start(own).await;
    assert_eq!(sh(&agent, "cat file").await.stdout, "kept\n");
    machine.runtime.kill(instance).await.unwrap();
    machine.runtime.remove_volume(own).await.unwrap();
    assert_eq!(machine.runtime.known().await.unwrap(), Vec::new());
}

#[tokio::test]
async fn a_fork_bomb_and_a_memory_hog_are_contained() {
    let config = LocalRuntimeConfig {
        memory_mib: 256,
        pids: 200,
        ..LocalRuntimeConfig::default()
    };
    let machine = Machine::new(config);
    let (mut instance, agent) = machine.start(id()).await;
    let out = sh(
        &agent,
        "for i in $(seq 1 400); do sleep 1 & done; echo $(ls /proc | grep -c '^[0-9]')",
    )
    .await;
    assert!(
        out.stderr.contains("fork") || out.stderr.contains("Resource"),
        "{out:?}"
    );
    assert_eq!(instance.out_of_memory().await, 0);
    // Nothing can be started while it lasts, but files can be read, and then it is over.
    agent.list("").await.unwrap();
    let since = Instant::now();
    while !can_start(&agent).await {
        assert!(since.elapsed() < SOON, "the bomb lasts");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let out = sh(&agent, "head -c 600M /dev/zero | tail").await;
    let local = &machine.runtime;
    if matches!(*local.limits, limits::Limiter::Rlimits) {
        assert_ne!(out.exit_code, Some(0), "the hog got what it asked for");
    } else {
        assert!(
            instance.out_of_memory().await > 0,
            "the hog was not ended by its group's limit"
        );
    }
    // The hog goes, and not the agent.
    assert_eq!(sh(&agent, "echo alive").await.stdout, "alive\n");
    let gone = tokio::time::timeout(Duration::from_millis(50), instance.ended()).await;
    assert!(gone.is_err(), "{gone:?}");
    machine.runtime.kill(instance).await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_control_group() {
    let machine = Machine::new(LocalRuntimeConfig::default());
    let own = id();
    machine.runtime.prepare_volume(own).await.unwrap();
    let local = &machine.runtime;
    // Nothing can be written where the start's log belongs.
    std::fs::create_dir(local.folders.container(own).join("start.log")).unwrap();
    let error = machine.runtime.launch(own).await.err().unwrap();
    assert!(error.to_string().contains("start.log"), "{error}");
    assert!(!local.limits.existing(own).is_there());
}

#[tokio::test]
async fn a_container_starts_again_and_again() {
    let machine = Machine::new(LocalRuntimeConfig::default());
    let own = id();
    let mut times = Vec::new();
    for _ in 0..20 {
        let since = Instant::now();
        let (instance, _) = machine.start(own).await;
        times.push(since.elapsed());
        machine.runtime.kill(instance).await.unwrap();
    }
    times.sort();
    eprintln!("start to proven: p50 {:?}, max {:?}", times[10], times[19]);
    // How fast it has to be is measured by `make bench`, on a machine that does nothing else.
}
