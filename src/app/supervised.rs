//! A process that is started again whenever it ends, until it is told to stop.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

use super::PROGRAM;
use crate::vault::server::exit;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Exit codes of what another start does not mend by itself.
const PERMANENT: [i32; 3] = [exit::KEYS, exit::SOCKET, exit::HARDENING];

/// How a process of this program is started.
pub struct Start {
    /// What it is called in the log.
    pub name: &'static str,
    /// The arguments of each start.
    pub arguments: Vec<OsString>,
    /// The arguments that the first start has beside those.
    pub at_first: Vec<OsString>,
    /// The first line on its standard input.
    pub told: Zeroizing<String>,
}

/// The supervised process. It ends with [`Supervised::stop`], soon after this value was dropped, or with the end of the process
/// that supervises it.
pub struct Supervised {
    name: &'static str,
    /// The exit code of a process that will not start however often it is tried.
    refused: watch::Receiver<Option<i32>>,
    stopping: DropGuard,
    loop_task: JoinHandle<()>,
}

struct Running {
    child: Child,
    /// The process ends when this pipe closes, so that it cannot outlive a supervisor that was killed.
    _lifeline: ChildStdin,
}

impl Supervised {
    /// Starts it and keeps it running.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub async fn begin(how: Start) -> anyhow::Result<Self> {
        let (name, first) = (how.name, start(&how, true).await?);
        let stopping = CancellationToken::new();
        let (refuse, refused) = watch::channel(None);
        #[expect(
            clippy::disallowed_methods,
            reason = "not among the tracked tasks: those may use the process until the last has ended, then `stop` ends this"
        )]
        let loop_task = tokio::spawn(keep(how, first, refuse, stopping.clone()));
        Ok(Self {
            name,
            refused,
            stopping: stopping.drop_guard(),
            loop_task,
        })
    }

    /// Waits for what `ask` asks it.
    ///
    /// # Errors
    /// When it refuses to start, for the reason in `refusal`; when it does not answer within ten seconds.
    pub async fn answer<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
        &self,
        refusal: &str,
        ask: impl Fn() -> F,
    ) -> anyhow::Result<T> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(_) if self.refused.borrow().is_some() => {
                    bail!(
                        "the {} refuses to start, for the reason that it printed above{refusal}",
                        self.name
                    )
                }
                Err(error) if tokio::time::Instant::now() > deadline => {
                    bail!("the {} does not start: {error}", self.name)
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Ends it.
    pub async fn stop(self) {
        drop(self.stopping);
        let _ = self.loop_task.await;
    }
}

async fn keep(
    how: Start,
    first: Running,
    refuse: watch::Sender<Option<i32>>,
    stopping: CancellationToken,
) {
    let mut running = Some(first);
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(Running { child, .. }) = &mut running {
            let started = tokio::time::Instant::now();
            let status = tokio::select! {
                status = child.wait() => status,
                () = stopping.cancelled() => {
                    let _ = child.start_kill();
                    let _ = child.wait().await;
                    return;
                }
            };
            let permanent = status.as_ref().ok().and_then(ExitStatus::code);
            refuse.send_replace(permanent.filter(|code| PERMANENT.contains(code)));
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            tracing::error!(status, "the {} ended and is started again", how.name);
            if started.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.cancelled() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
        running = match start(&how, false).await {
            Ok(running) => Some(running),
            Err(error) => {
                tracing::error!(%error, "the {} could not be started", how.name);
                None
            }
        };
    }
}

async fn start(how: &Start, first: bool) -> anyhow::Result<Running> {
    let mut child = Command::new(PROGRAM)
        .arg0("optidev")
        .args(&how.arguments)
        .args(how.at_first.iter().filter(|_| first))
        // Nothing of this process's environment is any of its business.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting the {}", how.name))?;
    let mut lifeline = child.stdin.take().context("a pipe to it")?;
    // One that has ended already is found by its end.
    let _ = lifeline.write_all(how.told.as_bytes()).await;
    Ok(Running {
        child,
        _lifeline: lifeline,
    })
}
