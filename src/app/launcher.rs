//! The launcher process, `optidev launcher`: starts containers, the vault process and the redactor for a server that is confined.
//!
//! What always holds: it is begun before the server confines itself; it reads settings at its start and never again;
//! it ends when the server does, and containers go on; it has no listener, no database and no HTTP. [`begin`] is the
//! server's half, [`run_launcher`] the process.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::PROGRAM;
use super::redactor_process::{RedactorProcess, RedactorStart, RedactorToken};
use super::vault_process::{VaultProcess, VaultStart};
use crate::clients::launcher::{self, Answer, Ask, Link, Problem, Question, Told};
use crate::config::{Config, Paths};
use crate::features::containers::Launching;
use crate::kernel::Rng;
use crate::vault::server::harden;

/// Starts the process; answers the server's end of the link to it. Before any thread was started.
///
/// # Errors
/// When it cannot be started.
pub fn begin(config_file: Option<&Path>, data_dir: &Path) -> anyhow::Result<OwnedFd> {
    let (ours, theirs) = launcher::pair().context("making a pair of sockets")?;
    let mut command = Command::new(PROGRAM);
    command
        .arg0("optidev")
        .arg("launcher")
        .arg("--data-dir")
        .arg(data_dir);
    if let Some(file) = config_file {
        command.arg("--config").arg(file);
    }
    command
        // The link, and the sign that the server has ended.
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::null())
        // An interrupt at the server's terminal is for the server.
        .process_group(0)
        .spawn()
        .context("starting the launcher process")?;
    Ok(ours)
}

/// The process: answers the server on standard input until that ends.
///
/// # Errors
/// When standard input is no link.
pub async fn run_launcher(config: Config, paths: Paths) -> anyhow::Result<()> {
    // It makes the token that tells redactor from server, and the server is the same user.
    harden::undumpable();
    // Who stops all processes of a service at once means the server: it stops the containers in good order first.
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        // A handler that is installed stays, and takes the place of the end that the signal means otherwise.
        drop(signal(kind).context("watching signals")?);
    }
    let input = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("taking hold of the link")?;
    let link = Arc::new(Link::new(input).context("opening the link to the server")?);
    let tasks = TaskTracker::new();
    let launching = Arc::new(Launching::new(
        config.runtime.local.clone(),
        config.server.apps_domain.clone(),
        paths.containers(),
        Arc::clone(&link),
        tasks.clone(),
    ));
    let hardened = Arc::new(Hardened {
        vault: VaultStart::new(&config, &paths),
        redactor: RedactorStart::new(&config, &paths),
        running: Mutex::new(None),
    });
    // The end of the link is the server's end, whatever it looks like.
    while let Ok(Some((packet, _))) = link.receive().await {
        let Ok(Question { id, ask }) = serde_json::from_slice(&packet) else {
            tracing::error!("the server asked what is not understood");
            break;
        };
        let (link, launching, hardened) = (
            Arc::clone(&link),
            Arc::clone(&launching),
            Arc::clone(&hardened),
        );
        tasks.spawn(async move {
            let (result, descriptor) = match answer(&launching, &hardened, ask).await {
                Ok((answer, descriptor)) => (Ok(answer), descriptor),
                Err(problem) => (Err(problem), None),
            };
            let told = Told::Answer { id, result };
            if let Ok(text) = serde_json::to_vec(&told) {
                let beside = descriptor.as_ref().map(AsFd::as_fd);
                // A server that is gone waits for nothing.
                let _ = link.send(&text, beside).await;
            }
        });
    }
    hardened.stop().await;
    Ok(())
}

async fn answer(
    launching: &Arc<Launching>,
    hardened: &Hardened,
    ask: Ask,
) -> Result<(Answer, Option<OwnedFd>), Problem> {
    match ask {
        Ask::StartVault { create_master } => hardened.start(create_master).await?,
        Ask::StopVault => hardened.stop().await,
        ask => return launching.answer(ask).await,
    }
    Ok((Answer::Done, None))
}

/// The vault process and the redactor, once they were asked for.
struct Hardened {
    vault: VaultStart,
    redactor: RedactorStart,
    running: Mutex<Option<(VaultProcess, RedactorProcess)>>,
}

impl Hardened {
    async fn start(&self, create_master: bool) -> Result<(), Problem> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let started = self.start_both(create_master).await;
            *running = Some(started.map_err(|error| Problem::Machine(format!("{error:#}")))?);
        }
        Ok(())
    }

    async fn start_both(
        &self,
        create_master: bool,
    ) -> anyhow::Result<(VaultProcess, RedactorProcess)> {
        let token = RedactorToken::new(&Rng);
        let vault = VaultProcess::supervise(&self.vault, create_master, &token).await?;
        let redactor = RedactorProcess::supervise(&self.redactor, &token).await?;
        vault.ready().await?;
        redactor.ready().await?;
        Ok((vault, redactor))
    }

    async fn stop(&self) {
        if let Some((vault, redactor)) = self.running.lock().await.take() {
            redactor.stop().await;
            vault.stop().await;
        }
    }
}
