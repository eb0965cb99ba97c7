//! The embedded runtime: Debian's bubblewrap on this machine.
//!
//! What always holds for a container:
//! - Every namespace is its own, the network too: its only interface is `lo`. User namespaces cannot be made inside.
//! - It sees the toolchains and a synthetic `/etc` read-only, its own home, its own `/tmp`, and nothing else of the host.
//! - It has no capability, cannot get one, and runs under a host user of its own when the server is root.
//! - It inherits no descriptor and no key ring, and system calls that know no namespace are refused.
//! - It outlives a server that was killed: the next one finds it by process id and start time, and adopts it.
//!
//! The data folder need not be reachable for the container's user: what it needs is mounted before privileges go.

mod binary;
mod confine;
mod egress;
mod etc;
mod limits;
mod process;
mod procfs;
mod proof;
mod sandbox;
mod slots;
mod start;
mod tree;
mod volume;

#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

pub use binary::write_agent;
pub use process::Process;
pub(super) use sandbox::AGENT_SOCKET;

use super::RuntimeError;
use crate::config::LocalRuntimeConfig;
use crate::kernel::{Clock, ContainerId};

/// Containers of this machine.
pub struct LocalRuntime {
    config: Arc<LocalRuntimeConfig>,
    apps_domain: String,
    clock: Clock,
    folders: volume::Folders,
    slots: slots::Slots,
    limits: Arc<limits::Limiter>,
    shell: &'static str,
    /// What bubblewrap loads as filter of system calls.
    filter: PathBuf,
}

impl LocalRuntime {
    /// Prepares what all containers share, below `folder`.
    ///
    /// # Errors
    /// [`RuntimeError::Machine`] when a toolchain folder is missing; [`RuntimeError::Failed`] when files cannot be
    /// written.
    pub fn open(
        config: &LocalRuntimeConfig,
        apps_domain: &str,
        folder: PathBuf,
        clock: Clock,
    ) -> Result<Self, RuntimeError> {
        sandbox::check(config)?;
        let folders = volume::Folders::open(folder.clone())?;
        let filter = confine::filter_file(&folder)
            .map_err(|error| RuntimeError::io("writing the filter of system calls", error))?;
        etc::write(&folders.etc())?;
        binary::write(&folders)?;
        let slots = slots::Slots::open(&folders, config.uid_base)?;
        Ok(Self {
            config: Arc::new(config.clone()),
            apps_domain: apps_domain.to_owned(),
            slots,
            limits: Arc::new(limits::Limiter::detect(config, clock.now_ms())),
            shell: sandbox::shell(config),
            clock,
            folders,
            filter,
        })
    }

    pub(super) async fn prepare_volume(
        &self,
        container: ContainerId,
    ) -> Result<String, RuntimeError> {
        let slot = self.slots.of(container)?;
        let folder = self.folders.container(container);
        blocking(move || folder.prepare(slot)).await?;
        Ok(match slot.uid {
            Some(uid) => format!("home kept on this machine, owned by host user {uid}"),
            None => "home kept on this machine".to_owned(),
        })
    }

    pub(super) async fn launch(&self, container: ContainerId) -> Result<Process, RuntimeError> {
        start::launch(self, container).await
    }

    pub(super) async fn adopt(
        &self,
        container: ContainerId,
    ) -> Result<Option<Process>, RuntimeError> {
        let folder = self.folders.container(container);
        let limits = Arc::clone(&self.limits);
        blocking(move || {
            let run = folder.read_meta()?.and_then(|meta| meta.run);
            Ok(run.and_then(|run| Process::adopt(folder, run, &limits)))
        })
        .await
    }

    pub(super) async fn prove_isolation(&self, process: &Process) -> Result<String, RuntimeError> {
        let expected = sandbox::mount_points(&self.config);
        let uid = self.slots.of(process.container())?.uid;
        let pid = process.pid();
        blocking(move || proof::prove(pid, uid, &expected).map_err(RuntimeError::Unproven)).await?;
        Ok(format!(
            "no network device but lo, no capabilities, no host paths; {}",
            self.limits.describe(&self.config)
        ))
    }

    pub(super) fn watch_agent(&self, process: &mut Process) -> Result<(), RuntimeError> {
        process.watch_agent()
    }

    /// The socket of the container's way out, listening; an older one is replaced.
    pub(super) fn bind_egress(&self, process: &Process) -> Result<OwnedFd, RuntimeError> {
        let folder = self.folders.container(process.container());
        let uid = self.slots.of(process.container())?.uid;
        egress::bind(&folder, uid)
            .map_err(|error| RuntimeError::io("opening the way to the egress role", error))
    }

    pub(super) async fn remember(
        &self,
        process: &Process,
        boot_id: &str,
    ) -> Result<(), RuntimeError> {
        let folder = self.folders.container(process.container());
        let run = process.record(boot_id, self.clock.now_ms());
        blocking(move || note(&folder, Some(run))).await
    }

    pub(super) async fn kill(&self, process: Process) -> Result<(), RuntimeError> {
        let folder = self.folders.container(process.container());
        process.kill().await?;
        blocking(move || note(&folder, None)).await
    }

    pub(super) async fn remove_volume(&self, container: ContainerId) -> Result<(), RuntimeError> {
        let folder = self.folders.container(container);
        blocking(move || folder.remove()).await?;
        self.slots.free(container);
        Ok(())
    }

    pub(super) async fn known(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        let folders = self.folders.clone();
        blocking(move || folders.containers()).await
    }
}

/// Remembers which start of the container runs.
fn note(folder: &volume::Folder, run: Option<volume::Run>) -> Result<(), RuntimeError> {
    let mut meta = folder.read_meta()?.unwrap_or_default();
    meta.run = run;
    folder.write_meta(&meta)
}

/// File work, off the threads that serve requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RuntimeError::io("a worker ended", error))?
}
