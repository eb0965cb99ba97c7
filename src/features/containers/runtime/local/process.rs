//! A running container of this machine: its first process, and what it holds.

use std::path::PathBuf;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;

use super::limits::{Group, Limiter};
use super::procfs;
use super::volume::{Folder, Run};
use super::{blocking, start};
use crate::features::containers::runtime::{Ended, RuntimeError};
use crate::kernel::ContainerId;

/// A running container. Dropping it leaves the container running.
pub struct Process {
    folder: Folder,
    /// The first process of the container's pid namespace: when it ends, the kernel ends all others.
    pid: i32,
    start_ticks: u64,
    pidfd: AsyncFd<OwnedFd>,
    /// The agent. The first process waits for all that it left behind, so the agent's end alone is no end of that one.
    agent: Option<AsyncFd<OwnedFd>>,
    /// bubblewrap outside, which tells how it ended; only the server that started it has this.
    child: Option<Child>,
    group: Group,
    boot_id: Option<String>,
}

impl Process {
    /// A container that was just started. When it fails, nothing of it runs.
    pub(super) fn started(
        folder: Folder,
        pid: i32,
        child: Child,
        group: Group,
    ) -> Result<Self, RuntimeError> {
        let pidfd = match open(pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                return Err(RuntimeError::io("the container ended at once", error));
            }
            Err(error) => {
                // It runs, but there is no descriptor left to watch it with.
                if let Some(pid) = Pid::from_raw(pid) {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
                return Err(RuntimeError::io("the container cannot be watched", error));
            }
        };
        let start_ticks = procfs::start_ticks(pid).unwrap_or(0);
        Ok(Self {
            folder,
            pid,
            start_ticks,
            pidfd,
            agent: None,
            child: Some(child),
            group,
            boot_id: None,
        })
    }

    /// A container of an earlier server, when it still runs.
    pub(super) fn adopt(folder: Folder, run: Run, limits: &Limiter) -> Option<Self> {
        if procfs::machine_boot_id() != run.machine_boot_id {
            return None;
        }
        // Opened before the start time is compared: afterwards the id cannot come to mean another process.
        let pidfd = open(run.pid).ok()?;
        if procfs::start_ticks(run.pid) != Some(run.start_ticks) {
            return None;
        }
        let group = limits.existing(folder.container());
        Some(Self {
            folder,
            pid: run.pid,
            start_ticks: run.start_ticks,
            pidfd,
            agent: None,
            child: None,
            group,
            boot_id: Some(run.agent_boot_id),
        })
    }

    pub(in super::super) fn container(&self) -> ContainerId {
        self.folder.container()
    }

    /// Host process id of the container's first process.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Watches the agent, which has just answered, from now on.
    pub(super) fn watch_agent(&mut self) -> Result<(), RuntimeError> {
        let agent = procfs::first_child(self.pid)
            .ok_or_else(|| RuntimeError::Failed("the agent ended at once".to_owned()))?;
        let agent = open(agent).map_err(|error| RuntimeError::io("watching the agent", error))?;
        self.agent = Some(agent);
        Ok(())
    }

    pub(super) fn record(&self, agent_boot_id: &str, now_ms: i64) -> Run {
        Run {
            pid: self.pid,
            start_ticks: self.start_ticks,
            machine_boot_id: procfs::machine_boot_id(),
            agent_boot_id: agent_boot_id.to_owned(),
            started_at_ms: now_ms,
        }
    }

    /// Where the agent's socket is.
    pub(in super::super) fn socket_folder(&self) -> PathBuf {
        self.folder.join("run")
    }

    pub(in super::super) fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    /// Waits until its agent or the whole of it has ended.
    pub(in super::super) async fn ended(&mut self) -> Ended {
        match &self.agent {
            Some(agent) => tokio::select! {
                () = over(&self.pidfd) => {}
                () = over(agent) => {}
            },
            None => over(&self.pidfd).await,
        }
        self.how().await
    }

    /// How it ended.
    async fn how(&mut self) -> Ended {
        let Some(child) = &mut self.child else {
            return Ended::Unknown;
        };
        // bubblewrap outside ends right after; it answers 128 + n for signal n.
        match tokio::time::timeout(Duration::from_secs(2), child.wait()).await {
            Ok(Ok(status)) => match status.code() {
                Some(code) if code > 128 => Ended::Signal(code - 128),
                Some(code) => Ended::Code(code),
                None => Ended::Signal(
                    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0),
                ),
            },
            _ => Ended::Unknown,
        }
    }

    pub(in super::super) async fn out_of_memory(&self) -> u64 {
        let group = self.group.clone();
        blocking(move || Ok(group.out_of_memory()))
            .await
            .unwrap_or(0)
    }

    pub(in super::super) fn last_words(&self) -> String {
        start::last_words(&self.folder)
    }

    pub(super) async fn kill(mut self) -> Result<(), RuntimeError> {
        // An error means that it has ended already.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        if tokio::time::timeout(Duration::from_secs(10), over(&self.pidfd))
            .await
            .is_err()
        {
            return Err(RuntimeError::Failed(format!(
                "process {} of the container did not end within 10 s after SIGKILL; it waits for a device",
                self.pid
            )));
        }
        self.how().await;
        let group = self.group;
        blocking(move || {
            group.remove();
            Ok(())
        })
        .await
    }
}

/// Waits for a process's end: its pidfd is readable from then on, whoever its parent is (pidfd_open(2)).
async fn over(pidfd: &AsyncFd<OwnedFd>) {
    let _ = pidfd.ready(Interest::READABLE).await;
}

fn open(pid: i32) -> std::io::Result<AsyncFd<OwnedFd>> {
    let pid = Pid::from_raw(pid).ok_or(std::io::ErrorKind::InvalidInput)?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    #[expect(
        unsafe_code,
        reason = "tokio deprecated the safe constructor and has no other for a pidfd"
    )]
    // SAFETY: an OwnedFd always answers the one descriptor that it owns, and keeps it open until it is dropped, which
    // happens inside AsyncFd only.
    let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?;
    Ok(pidfd)
}
