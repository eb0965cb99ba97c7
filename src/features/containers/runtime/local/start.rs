//! Starting a container: from the server's process to bubblewrap's, in steps that give up rights.
//!
//! The first process waits for a line on its input. Until it comes, user code cannot run, and the server puts the
//! process under its limits. Then, as root, the container's folders are mounted at a place that its user can reach in
//! a mount namespace of its own, rights are given up for good, and bubblewrap does the rest. Its options come
//! through the same pipe, so that the container's process list does not show the host's paths.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::confine;
use super::limits::Group;
use super::process::Process;
use super::sandbox::{self, Sources};
use super::slots::Slot;
use super::volume::Folder;
use super::{LocalRuntime, blocking};
use crate::features::containers::runtime::RuntimeError;
use crate::kernel::ContainerId;

/// Longest wait for bubblewrap to have made the container.
const MADE: Duration = Duration::from_secs(10);

/// Waits, then becomes bubblewrap. `$@` is the command; descriptor 3 takes what bubblewrap tells of the container,
/// descriptor 4 gives it its arguments, descriptor 5 the filter of system calls.
const PLAIN: &str = "read -r go && [ \"$go\" = go ] || exit 97\n\
                     exec 5<\"$FILTER\" || exit 99\n\
                     unset FILTER\n\
                     echo 500 > /proc/self/oom_score_adj\n\
                     exec \"$@\" 3>&1 4<&0 >/dev/null </dev/null";

/// As [`PLAIN`] for root: what follows `$1` is mounted first, in a tree which this process alone sees. It begins on the
/// folder `$1` and moves to /mnt when it is whole, so that sources may themselves lie below /mnt. After the six of
/// [`Sources`] come the toolchains, up to `--`: they need not be reachable for the container's user either.
const MOUNTING: &str = "read -r go && [ \"$go\" = go ] || exit 97\n\
    exec 5<\"$FILTER\" || exit 99\n\
    unset FILTER\n\
    echo 500 > /proc/self/oom_score_adj\n\
    tree=$1; shift\n\
    mount -t tmpfs -o mode=0755,size=64k optidev \"$tree\" && cd \"$tree\" || exit 98\n\
    mkdir home state run egress etc && : > agent || exit 98\n\
    for name in home state run egress etc agent; do mount --bind \"$1\" \"$tree/$name\" || exit 98; shift; done\n\
    number=0\n\
    while [ \"$1\" != -- ]; do\n\
    mkdir \"toolchain-$number\" && mount --rbind \"$1\" \"$tree/toolchain-$number\" || exit 98\n\
    number=$((number + 1)); shift\n\
    done\n\
    shift; cd / && mount --move \"$tree\" /mnt || exit 98\n\
    exec \"$@\" 3>&1 4<&0 >/dev/null </dev/null";

/// Starts `container`; its volume is prepared.
pub async fn launch(
    runtime: &LocalRuntime,
    container: ContainerId,
) -> Result<Process, RuntimeError> {
    let slot = runtime.slots.of(container)?;
    let folder = runtime.folders.container(container);
    let sources = Sources {
        home: folder.join("home"),
        state: folder.join("state"),
        run: folder.join("run"),
        egress: folder.join("egress"),
        etc: runtime.folders.etc(),
        agent: runtime.folders.agent(),
        toolchains: runtime.config.toolchains.clone(),
    };
    let (limits, config) = (Arc::clone(&runtime.limits), Arc::clone(&runtime.config));
    let group = blocking(move || limits.group(container, &config)).await?;
    let log = folder.join("start.log");
    let started = match make(runtime, slot, sources, &group, &log).await {
        Ok((pid, child)) => Process::started(folder, pid, child, group.clone()),
        Err(error) => Err(error),
    };
    if started.is_err() {
        blocking(move || {
            group.remove();
            Ok(())
        })
        .await?;
    }
    started
}

/// The container's first process, and bubblewrap outside. When it fails, nothing of it runs.
async fn make(
    runtime: &LocalRuntime,
    slot: Slot,
    sources: Sources,
    group: &Group,
    log: &Path,
) -> Result<(i32, Child), RuntimeError> {
    let mut child = starter(slot, &sources, log, runtime.shell, &runtime.filter)?;
    let inside = if slot.uid.is_some() {
        mounted(sources.toolchains.len())
    } else {
        sources
    };
    let made = tokio::time::timeout(MADE, first_process(runtime, &mut child, inside, group, log))
        .await
        .unwrap_or_else(|_| {
            Err(RuntimeError::Failed(
                "bubblewrap made no container within 10 s".to_owned(),
            ))
        });
    match made {
        Ok(pid) => Ok((pid, child)),
        Err(error) => {
            let _ = child.start_kill();
            let _ = child.wait().await;
            Err(error)
        }
    }
}

/// Puts the waiting process under its limits and lets it go on; answers the id of what it made.
async fn first_process(
    runtime: &LocalRuntime,
    child: &mut Child,
    inside: Sources,
    group: &Group,
    log: &Path,
) -> Result<i32, RuntimeError> {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .ok_or_else(|| ended(child, log))?;
    let (limits, config) = (Arc::clone(&runtime.limits), Arc::clone(&runtime.config));
    let group = group.clone();
    blocking(move || limits.apply(&group, pid, &config)).await?;
    let mut input = b"go\n".to_vec();
    for argument in sandbox::options(
        &runtime.config,
        &runtime.apps_domain,
        &inside,
        runtime.shell,
    ) {
        input.extend_from_slice(argument.as_bytes());
        input.push(0);
    }
    let mut pipe = child
        .stdin
        .take()
        .ok_or_else(|| RuntimeError::Failed("the start has no input".to_owned()))?;
    if pipe.write_all(&input).await.is_err() {
        return Err(ended(child, log));
    }
    drop(pipe);
    let mut told = String::new();
    if let Some(mut output) = child.stdout.take() {
        // Ends when bubblewrap has told everything; it closes this descriptor before user code runs.
        output
            .read_to_string(&mut told)
            .await
            .map_err(|error| RuntimeError::io("reading from bubblewrap", error))?;
    }
    #[derive(serde::Deserialize)]
    struct Told {
        #[serde(rename = "child-pid")]
        child_pid: i32,
    }
    match serde_json::from_str::<Told>(&told) {
        Ok(told) => Ok(told.child_pid),
        Err(_) => {
            let status = child.wait().await;
            Err(explain(&read_log(log), status.ok()))
        }
    }
}

/// The waiting process.
fn starter(
    slot: Slot,
    sources: &Sources,
    log: &Path,
    shell: &str,
    filter: &Path,
) -> Result<Child, RuntimeError> {
    let log_file = std::fs::File::create(log)
        .map_err(|error| RuntimeError::io(format!("writing {}", log.display()), error))?;
    let mut command;
    if let Some(uid) = slot.uid {
        command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
            MOUNTING,
            "sh",
        ]);
        for folder in [
            &log.with_file_name(super::volume::TREE),
            &sources.home,
            &sources.state,
            &sources.run,
            &sources.egress,
            &sources.etc,
            &sources.agent,
        ] {
            command.arg(folder);
        }
        command.args(&sources.toolchains).arg("--");
        let uid = uid.to_string();
        command.args([
            "setpriv",
            "--reuid",
            &uid,
            "--regid",
            &uid,
            "--clear-groups",
            "--inh-caps=-all",
        ]);
        command.args(["--no-new-privs", "--"]);
    } else {
        command = Command::new("sh");
        command.args(["-c", PLAIN, "sh"]);
    }
    confine::part(&mut command);
    command
        .args(["bwrap", "--info-fd", "3", "--args", "4", "--seccomp", "5"])
        .args(sandbox::command(shell))
        .env_clear()
        .env("FILTER", filter)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .current_dir("/")
        // A group of its own: an interrupt at the server's terminal is for the server.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log_file)
        .spawn()
        .map_err(|error| {
            RuntimeError::Machine(format!(
                "a container cannot be started: {error}. Install util-linux and a shell."
            ))
        })
}

/// Where [`MOUNTING`] puts things.
fn mounted(toolchains: usize) -> Sources {
    let at = |name: &str| PathBuf::from("/mnt").join(name);
    Sources {
        home: at("home"),
        state: at("state"),
        run: at("run"),
        egress: at("egress"),
        etc: at("etc"),
        agent: at("agent"),
        toolchains: (0..toolchains)
            .map(|number| at(&format!("toolchain-{number}")))
            .collect(),
    }
}

fn ended(child: &mut Child, log: &Path) -> RuntimeError {
    explain(&read_log(log), child.try_wait().ok().flatten())
}

fn read_log(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}

/// What went wrong, in words that say what to do.
fn explain(log: &str, status: Option<std::process::ExitStatus>) -> RuntimeError {
    let log = log.trim();
    let last = log.lines().last().unwrap_or("no message");
    let has = |part: &str| log.contains(part);
    if has("bwrap: not found")
        || has("failed to execute bwrap")
        || has("setpriv: failed to execute")
    {
        return RuntimeError::Machine(
            "bubblewrap is not installed. Install it: apt-get install bubblewrap".to_owned(),
        );
    }
    if has("No permissions to creat") || has("setting up uid map") || has("max_user_namespaces") {
        return RuntimeError::Machine(format!(
            "this machine does not let bubblewrap make namespaces ({last}). Allow unprivileged user namespaces: \
             sysctl kernel.unprivileged_userns_clone=1, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0."
        ));
    }
    if has("unshare failed") || has("mount:") {
        return RuntimeError::Machine(format!(
            "the server is root but may not mount ({last}). Run it as an ordinary user, or give it CAP_SYS_ADMIN."
        ));
    }
    if has("Can't find source path") || has("Can't bind mount") {
        return RuntimeError::Machine(format!(
            "a folder cannot be shown to containers ({last}). Check [runtime.local] toolchains: each must be readable \
             for every user."
        ));
    }
    let how = match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!(" (exit code {code})"),
            (None, Some(signal)) => format!(" (signal {signal})"),
            (None, None) => String::new(),
        },
        None => String::new(),
    };
    RuntimeError::Failed(format!("the container did not start{how}: {last}"))
}

/// The folder's log, for a reason to show: its last lines, without control characters.
pub fn last_words(folder: &Folder) -> String {
    let log = read_log(&folder.join("start.log"));
    let lines: Vec<&str> = log.lines().rev().take(3).collect();
    let text: String = lines.into_iter().rev().collect::<Vec<_>>().join(" ");
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(400)
        .collect()
}
