//! Starts the vault process, and starts it again whenever it ends.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::PROGRAM;
use crate::config::{Config, Paths};
use crate::vault::server::exit;
use crate::vault::{Status, VaultClient};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Exit codes of what another start does not mend by itself.
const PERMANENT: [i32; 3] = [exit::KEYS, exit::SOCKET, exit::HARDENING];

/// The supervised vault process. It ends with this value's [`VaultProcess::stop`], or with the end of the process that supervises it.
pub struct VaultProcess {
    client: VaultClient,
    /// The exit code of a process that will not start however often it is tried.
    refused: watch::Receiver<Option<i32>>,
    stopping: CancellationToken,
    loop_task: JoinHandle<()>,
}

/// How the process is started.
#[derive(Debug, Clone)]
pub struct VaultStart {
    /// Where socket and record are.
    pub paths: Paths,
    /// The master secret's file.
    pub master: PathBuf,
    /// Where the process listens.
    pub socket: PathBuf,
    /// Whether it refuses to run with less than all of its hardening.
    pub require_hardening: bool,
}

impl VaultStart {
    /// As the settings say.
    pub fn new(config: &Config, paths: &Paths) -> Self {
        Self {
            paths: paths.clone(),
            master: config.vault.master(paths),
            socket: config.vault.socket(paths),
            require_hardening: config.vault.require_hardening,
        }
    }
}

struct Running {
    child: Child,
    /// The vault ends when this pipe closes, so that it cannot outlive a supervisor that was killed.
    _lifeline: Option<ChildStdin>,
}

impl VaultProcess {
    /// Starts it and keeps it running. Only a `new_install` may make a master secret: where keys were wrapped already,
    /// a lost master must be an error and not a fresh one that opens nothing.
    ///
    /// # Errors
    /// When it cannot be started at all.
    pub fn supervise(how: VaultStart, new_install: bool) -> anyhow::Result<Self> {
        let first = start(&how, new_install)?;
        let client = VaultClient::new(how.socket.clone());
        let stopping = CancellationToken::new();
        let (refuse, refused) = watch::channel(None);
        let token = stopping.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "not among the tracked tasks: those may use the vault until the last has ended, then `stop` ends this"
        )]
        let loop_task = tokio::spawn(async move {
            let mut running = Some(first);
            let mut pause = FIRST_PAUSE;
            loop {
                if let Some(Running { child, .. }) = &mut running {
                    let started = tokio::time::Instant::now();
                    let status = tokio::select! {
                        status = child.wait() => status,
                        () = token.cancelled() => {
                            let _ = child.start_kill();
                            let _ = child.wait().await;
                            return;
                        }
                    };
                    let permanent = status.as_ref().ok().and_then(ExitStatus::code);
                    refuse.send_replace(permanent.filter(|code| PERMANENT.contains(code)));
                    let status =
                        status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(status, "the vault process ended and is started again");
                    if started.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = token.cancelled() => return,
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                running = match start(&how, false) {
                    Ok(running) => Some(running),
                    Err(error) => {
                        tracing::error!(%error, "the vault process could not be started");
                        None
                    }
                };
            }
        });
        Ok(Self {
            client,
            stopping,
            loop_task,
            refused,
        })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it does not within ten seconds.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            match self.client.status().await {
                Ok(status) => {
                    warn_of_missing(&status);
                    return Ok(());
                }
                Err(_) if self.refused.borrow().is_some() => bail!(
                    "the vault process refuses to start, for the reason that it printed above: the master \
                     secret ([vault] master_file, or vault/master in the data folder), install-id beside it, or the \
                     folder vault/ is missing, damaged, or in use. Restore it and start again"
                ),
                Err(error) if tokio::time::Instant::now() > deadline => {
                    bail!("the vault does not start: {error}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// What asks it.
    pub fn client(&self) -> &VaultClient {
        &self.client
    }

    /// Ends it.
    pub async fn stop(self) {
        self.stopping.cancel();
        let _ = self.loop_task.await;
    }
}

/// Says in the log what the vault process lacks of its hardening.
pub(super) fn warn_of_missing(status: &Status) {
    let missing = status.hardening.missing();
    if !missing.is_empty() {
        tracing::warn!(
            ?missing,
            "the kernel does not give the vault process all its hardening"
        );
    }
}

fn start(how: &VaultStart, new_install: bool) -> anyhow::Result<Running> {
    let folder = how.paths.vault();
    let mut child = Command::new(PROGRAM)
        .arg0("optidev")
        .arg("vault")
        .arg("--socket")
        .arg(&how.socket)
        .arg("--master")
        .arg(&how.master)
        .args(how.require_hardening.then_some("--require-hardening"))
        .args(new_install.then_some("--create-master"))
        .arg("--record")
        .arg(folder.join("record.jsonl"))
        .arg("--die-with-parent")
        // Nothing of the server's environment is any of the vault's business.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .context("starting the vault process")?;
    let lifeline = child.stdin.take();
    Ok(Running {
        child,
        _lifeline: lifeline,
    })
}
