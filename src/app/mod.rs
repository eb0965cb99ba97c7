//! Layer 5: puts the server together and supervises it: processes, services, routes, listener, shutdown.

mod agents;
mod confinement;
mod connections;
mod containers;
mod controller;
mod doctor;
mod external_vault;
mod health;
mod installation;
mod launcher;
mod listener;
mod metrics;
mod objects;
mod openapi;
mod plain;
mod redactor_process;
mod rotation;
mod router;
mod services;
mod supervised;
mod vault_process;
mod ways_out;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clients::launcher::{Ask, Launcher, Link};
use crate::config::Loaded;
use crate::context::Services;
use crate::features::ai::Ai;
use crate::features::{audit, identity, secrets};
use crate::jobs;
use crate::kernel::wiping;

pub use confinement::{Confinement, confine};
pub use controller::{Place, run_controller};
pub use doctor::{Check, examine};
pub use launcher::run_launcher;
pub use rotation::rotate_master;
pub use services::{Held, hold, offline};
pub use vault_process::VaultProcess;

/// The running executable itself, whatever lies at its path by now: a file that was exchanged is not started.
const PROGRAM: &str = "/proc/self/exe";
/// Requests that are still running when the server stops get this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Runs the server until it is told to stop.
///
/// # Errors
/// When a part cannot be started; the message says which and what to do.
pub async fn serve(loaded: Loaded, held: Held) -> anyhow::Result<()> {
    let paths = held.paths().clone();
    let (link, confinement, _lock) = held.into_parts();
    let missing = confinement.missing();
    if !missing.is_empty() {
        tracing::warn!(?missing, "the kernel does not confine the server in full");
    }
    let listener = listener::bind(&loaded.config, &paths).await?;
    let services = services::build(loaded.config, paths).await?;
    let launcher = match link {
        Some(link) => Some(Launcher::new(
            Link::new(link)?,
            &services.tasks,
            &services.shutdown,
        )),
        None => None,
    };
    let mut stop = StopSignal::watch()?;
    services
        .store
        .migrate_embedded()
        .await
        .context("bringing the database schema up to date")?;
    if services.config.vault.socket.is_none() {
        let create_master = services::is_new(&services).await?;
        ask(launcher.as_ref(), Ask::StartVault { create_master }).await?;
    } else {
        tokio::select! {
            answers = external_vault::answers(&services) => answers?,
            // There is nothing yet to bring to an end.
            () = stop.heard() => return Ok(()),
        }
        external_vault::look_for_redactor(&services).await;
    }
    listen_for_changes(&services).await?;
    installation::claim(&services).await?;
    audit::start(&services);
    objects::look(&services);
    let address = identity::sign_in_address(&services)
        .await
        .map_err(|problem| anyhow::anyhow!("making the sign-in link: {}", problem.detail))?;
    let containers = containers::start(&services, launcher.clone()).await?;
    let ai = Ai::new(
        &services,
        services.outbound.clone(),
        Arc::clone(&containers.controller),
    )
    .await;
    let application = router::build(&services, &containers, ai)?;
    metrics::start(&services, &containers.controller).await;

    jobs::start(&services, identity::jobs());
    jobs::start(&services, secrets::jobs());

    let shutdown = services.shutdown.clone();
    let server = connections::serve(
        listener,
        application,
        services.config.tls.client_ca_file.is_some(),
        shutdown.clone(),
    );
    let mut server = std::pin::pin!(server);
    spare_memory(&services);
    announce(&address);
    tokio::select! {
        () = &mut server => anyhow::bail!("the listener ended by itself"),
        () = lost(launcher.as_ref()) => anyhow::bail!(
            "the launcher, which starts containers and the vault, has ended: start the server again"
        ),
        () = stop.heard() => {}
    }
    tracing::info!("stopping: no new requests, the running ones may finish");
    shutdown.cancel();
    if tokio::time::timeout(DRAIN, server).await.is_err() {
        tracing::warn!(
            after_ms = DRAIN.as_millis(),
            "connections were still open and are closed now"
        );
    }
    finish(&services).await;
    audit::flush(&services).await;
    if let Some(launcher) = launcher {
        launcher.ask(Ask::StopVault).await?;
        launcher.end().await;
    }
    Ok(())
}

/// Asks the launcher, which is there whenever there is something to ask.
async fn ask(launcher: Option<&Launcher>, ask: Ask) -> anyhow::Result<()> {
    launcher
        .context("this server was started without a launcher")?
        .ask(ask)
        .await?;
    Ok(())
}

/// Waits for the end of the launcher, if there is one.
async fn lost(launcher: Option<&Launcher>) {
    match launcher {
        Some(launcher) => launcher.lost().cancelled().await,
        None => std::future::pending().await,
    }
}

/// Hears on every replica whose rights have changed.
async fn listen_for_changes(services: &Services) -> anyhow::Result<()> {
    match services.shared.ping().await {
        Some(Err(error)) if !error.is_passing() => {
            return Err(error)
                .context("asking Redis: check [redis] url, password_file and ca_file");
        }
        Some(Err(error)) => tracing::warn!(
            cause = crate::clients::redis::told(&error),
            "Redis does not answer; starting all the same"
        ),
        _ => {}
    }
    services
        .shared
        .start(&services.tasks, &services.shutdown)
        .await;
    let (credentials, mut ear) = (
        services.credentials.clone(),
        services.shared.revocations.ear(),
    );
    let shutdown = services.shutdown.clone();
    services.tasks.spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                subject = ear.hear() => credentials.forget(|user| subject.means(user)),
            }
        }
    });
    Ok(())
}

/// Gives memory back that was needed for a moment: now, and every few seconds.
fn spare_memory(services: &Services) {
    const EVERY: Duration = Duration::from_secs(4);
    let shutdown = services.shutdown.clone();
    services.tasks.spawn(async move {
        loop {
            // On a thread that may wait: it takes the allocator's locks for about a millisecond.
            let _ = tokio::task::spawn_blocking(wiping::give_back).await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}

/// The one line on standard output that people and scripts wait for.
#[expect(
    clippy::print_stdout,
    reason = "the one line that `optidev serve` prints for people and scripts"
)]
fn announce(address: &str) {
    use std::io::Write;
    println!("Sign in: {address}");
    let _ = std::io::stdout().flush();
}

/// SIGTERM and SIGINT, the two that mean an orderly end.
struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    /// Begins to watch. Before the first request is answered: a signal that comes while the handler is being put in place
    /// is heard by nobody, and who sees the server answer may stop it at once.
    fn watch() -> anyhow::Result<Self> {
        let watch = |kind| signal(kind).context("watching for the signals that stop the server");
        Ok(Self {
            terminate: watch(SignalKind::terminate())?,
            interrupt: watch(SignalKind::interrupt())?,
        })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for background work, which watches the shutdown token.
async fn finish(services: &Services) {
    services.tasks.close();
    if tokio::time::timeout(DRAIN, services.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("background work did not end in time");
    }
}
