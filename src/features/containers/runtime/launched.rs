//! The server's view of the local runtime, whose work the launcher does.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::egress::{self, Egress};
use super::{EgressHandler, Ended, RuntimeError};
use crate::clients::agent::Endpoint;
use crate::clients::launcher::{Answer, Ask, Launcher, Problem, Started};
use crate::features::containers::model::Identity;
use crate::kernel::ContainerId;

/// The launcher, as a runtime.
#[derive(Clone)]
pub struct Launched(Launcher);

/// A running container. Dropping it leaves the container running, without its egress.
pub struct LaunchedInstance {
    launcher: Launcher,
    started: Started,
    ending: watch::Receiver<Option<Ended>>,
    egress: Option<Egress>,
}

impl Launched {
    /// Has the launcher prepare this machine for containers.
    ///
    /// # Errors
    /// [`RuntimeError::Machine`] when a toolchain folder is missing; [`RuntimeError::Failed`] when files cannot be written.
    pub async fn open(launcher: Launcher) -> Result<Arc<Self>, RuntimeError> {
        launcher.ask(Ask::Open).await?;
        Ok(Arc::new(Self(launcher)))
    }

    pub(super) async fn prepare_volume(
        &self,
        container: ContainerId,
    ) -> Result<String, RuntimeError> {
        text(self.0.ask(Ask::PrepareVolume(container)).await?)
    }

    pub(super) async fn adopt(
        &self,
        container: ContainerId,
    ) -> Result<Option<LaunchedInstance>, RuntimeError> {
        match self.0.ask(Ask::Adopt(container)).await? {
            Answer::None => Ok(None),
            answer => self.instance(answer).map(Some),
        }
    }

    pub(super) async fn launch(
        &self,
        container: ContainerId,
    ) -> Result<LaunchedInstance, RuntimeError> {
        self.instance(self.0.ask(Ask::Launch(container)).await?)
    }

    pub(super) async fn watch_agent(
        &self,
        instance: &LaunchedInstance,
    ) -> Result<(), RuntimeError> {
        self.0
            .ask(Ask::WatchAgent(instance.started.instance))
            .await?;
        Ok(())
    }

    pub(super) async fn prove_isolation(
        &self,
        instance: &LaunchedInstance,
    ) -> Result<String, RuntimeError> {
        text(self.0.ask(Ask::Prove(instance.started.instance)).await?)
    }

    pub(super) async fn open_egress(
        &self,
        instance: &mut LaunchedInstance,
        who: Identity,
        handler: EgressHandler,
        tasks: &TaskTracker,
    ) -> Result<(), RuntimeError> {
        // An older one ends first: its socket is about to be replaced.
        instance.egress = None;
        let (_, listener) = self
            .0
            .ask_for(Ask::Egress(instance.started.instance))
            .await?;
        let listener = listener.ok_or_else(unexpected)?;
        instance.egress = Some(egress::serve(listener, who, handler, tasks)?);
        Ok(())
    }

    pub(super) async fn remember(
        &self,
        instance: &LaunchedInstance,
        boot_id: &str,
    ) -> Result<(), RuntimeError> {
        let instance = instance.started.instance;
        let boot_id = boot_id.to_owned();
        self.0.ask(Ask::Remember { instance, boot_id }).await?;
        Ok(())
    }

    pub(super) async fn kill(&self, instance: LaunchedInstance) -> Result<(), RuntimeError> {
        self.0.ask(Ask::Kill(instance.started.instance)).await?;
        Ok(())
    }

    pub(super) async fn remove_volume(&self, container: ContainerId) -> Result<(), RuntimeError> {
        self.0.ask(Ask::RemoveVolume(container)).await?;
        Ok(())
    }

    pub(super) async fn known(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        let mut all: Vec<ContainerId> = Vec::new();
        loop {
            match self.0.ask(Ask::Known(all.last().copied())).await? {
                Answer::Containers(some) if some.is_empty() => return Ok(all),
                Answer::Containers(some) => all.extend(some),
                _ => return Err(unexpected()),
            }
        }
    }

    fn instance(&self, answer: Answer) -> Result<LaunchedInstance, RuntimeError> {
        let Answer::Instance(started) = answer else {
            return Err(unexpected());
        };
        Ok(LaunchedInstance {
            launcher: self.0.clone(),
            ending: self.0.ending(started.instance),
            started,
            egress: None,
        })
    }
}

impl LaunchedInstance {
    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::Unix {
            folder: self.started.folder.clone(),
            name: self.started.socket.clone(),
        }
    }

    pub(super) fn boot_id(&self) -> Option<&str> {
        self.started.boot_id.as_deref()
    }

    pub(super) async fn ended(&mut self) -> Ended {
        let lost = self.launcher.lost();
        let ended = tokio::select! {
            ended = self.ending.wait_for(Option::is_some) => ended.ok().and_then(|ended| *ended),
            // The container goes on, but nobody here can watch it any more; the server is about to end.
            () = lost.cancelled() => None,
        };
        ended.unwrap_or(Ended::Unknown)
    }

    pub(super) async fn out_of_memory(&self) -> u64 {
        match self
            .launcher
            .ask(Ask::OutOfMemory(self.started.instance))
            .await
        {
            Ok(Answer::Count(times)) => times,
            _ => 0,
        }
    }

    pub(super) async fn last_words(&self) -> String {
        let said = self.launcher.ask(Ask::LastWords(self.started.instance));
        said.await
            .map_err(RuntimeError::from)
            .and_then(text)
            .unwrap_or_default()
    }
}

impl Drop for LaunchedInstance {
    fn drop(&mut self) {
        self.launcher.forget(self.started.instance);
    }
}

impl From<Problem> for RuntimeError {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::Machine(text) => Self::Machine(text),
            Problem::Unproven(text) => Self::Unproven(text),
            Problem::Failed(text) => Self::Failed(text),
        }
    }
}

fn text(answer: Answer) -> Result<String, RuntimeError> {
    match answer {
        Answer::Text(text) => Ok(text),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> RuntimeError {
    RuntimeError::Failed(
        "the launcher answered something else; restart the server, so that both are of one version"
            .to_owned(),
    )
}
