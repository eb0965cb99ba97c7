//! What runs containers. The controller knows only what is here; `local` is the embedded default, `pods` stands for a
//! cluster, where `optidev controller` does the work. The server is confined and cannot make namespaces: for it, the local runtime is `launched`, which
//! asks the launcher process, where `launching` asks `local`; the way out is served by the server itself (`egress`).
//!
//! What always holds: every step may be repeated or interrupted; user code runs only in what [`Runtime::launch`]
//! started, and secrets go there only after [`Runtime::prove_isolation`] succeeded.

mod egress;
mod launched;
mod launching;
mod local;
mod pods;

pub use crate::clients::launcher::Ended;
pub use launched::{Launched, LaunchedInstance};
pub use launching::Launching;
pub use local::write_agent;
pub use pods::{PodInstance, Pods, finder};

use std::sync::Arc;

use super::model::{Identity, StepName};
use crate::clients::agent::{Agent, Endpoint};
use crate::config::Config;
use crate::kernel::ContainerId;

/// Takes a connection that a container's agent makes to the outside, and speaks the HTTP proxy protocol on it until it
/// ends. The egress feature's operation, given by `app`.
pub type EgressHandler = Arc<
    dyn Fn(Identity, EgressStream) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync,
>;

/// A connection of a container's agent: a Unix socket's, or TLS'.
pub type EgressStream = Box<dyn Duplex>;

/// Bytes in both directions.
pub trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Duplex for T {}

/// The variable, and its value, by which Vite's development server answers under the names of previews as well. Other servers have such
/// a list in their project's own files only.
pub fn preview_hosts(apps_domain: &str) -> (&'static str, String) {
    (
        "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS",
        format!(".{apps_domain}"),
    )
}

/// Where a start reports its steps.
pub trait Steps: Send {
    /// A step begins.
    fn enter(&mut self, step: StepName);
    /// What holds it up, for people.
    fn note(&mut self, step: StepName, message: Option<String>);
    /// It is done.
    fn done(&mut self, step: StepName, message: Option<String>);
}

/// What is said where there is no runtime.
pub const MISSING: &str = "This installation runs no containers: the setting [runtime] kind is \"none\". Whoever looks after \
                           it can set \"local\", on a machine with bubblewrap, or \"kubernetes\".";

/// Why a runtime could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Something of the machine is missing or refused; a person has to change it.
    #[error("{0}")]
    Machine(String),
    /// The container could not be shown to be isolated.
    #[error("isolation-unproven: {0}")]
    Unproven(String),
    /// It did not work this time.
    #[error("{0}")]
    Failed(String),
}

impl RuntimeError {
    /// Whether trying again without a change can help.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Machine(_) | Self::Unproven(_))
    }

    /// There is no runtime.
    fn missing() -> Self {
        Self::Machine(MISSING.to_owned())
    }

    fn io(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }
}

/// A runtime.
#[derive(Clone)]
pub enum Runtime {
    /// bubblewrap on this machine.
    Local(Arc<Launched>),
    /// Pods of a cluster.
    Kubernetes(Arc<Pods>),
    /// None: this installation has no containers, and says so.
    None,
}

/// A running container.
pub enum Instance {
    /// Of the local runtime.
    Local(LaunchedInstance),
    /// A pod.
    Pod(PodInstance),
}

impl Runtime {
    /// Makes the container's volume when it is not there.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn prepare_volume(&self, container: ContainerId) -> Result<String, RuntimeError> {
        match self {
            Self::Local(local) => local.prepare_volume(container).await,
            Self::Kubernetes(pods) => Ok(pods.volume()),
            Self::None => Err(RuntimeError::missing()),
        }
    }

    /// The instance that runs already, or that of an earlier server.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn adopt(&self, container: ContainerId) -> Result<Option<Instance>, RuntimeError> {
        match self {
            Self::Local(local) => Ok(local.adopt(container).await?.map(Instance::Local)),
            Self::Kubernetes(pods) => Ok(pods.adopt(container).await?.map(Instance::Pod)),
            Self::None => Ok(None),
        }
    }

    /// Starts the container with its agent. The volume is there.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn launch(
        &self,
        who: Identity,
        steps: &mut dyn Steps,
    ) -> Result<Instance, RuntimeError> {
        match self {
            Self::Local(local) => local.launch(who.container).await.map(Instance::Local),
            Self::Kubernetes(pods) => pods.launch(who, steps).await.map(Instance::Pod),
            Self::None => Err(RuntimeError::missing()),
        }
    }

    /// Shows that the running container is isolated, and says how.
    ///
    /// # Errors
    /// [`RuntimeError::Unproven`].
    pub async fn prove_isolation(
        &self,
        instance: &Instance,
        agent: &Agent,
    ) -> Result<String, RuntimeError> {
        match (self, instance) {
            (Self::Local(local), Instance::Local(instance)) => {
                local.prove_isolation(instance).await
            }
            (Self::Kubernetes(pods), Instance::Pod(_)) => pods.prove_isolation(agent).await,
            _ => Err(RuntimeError::missing()),
        }
    }

    /// Counts the end of the agent as the container's, whatever the agent leaves running. It has answered already.
    ///
    /// # Errors
    /// [`RuntimeError::Failed`] when it has ended.
    pub async fn watch_agent(&self, instance: &Instance) -> Result<(), RuntimeError> {
        match (self, instance) {
            (Self::Local(local), Instance::Local(instance)) => local.watch_agent(instance).await,
            // The agent is the pod's first process.
            (Self::Kubernetes(_), Instance::Pod(_)) => Ok(()),
            _ => Err(RuntimeError::missing()),
        }
    }

    /// Hands connections of this container to `handler` until the instance is dropped.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn open_egress(
        &self,
        instance: &mut Instance,
        who: Identity,
        handler: EgressHandler,
        tasks: &tokio_util::task::TaskTracker,
    ) -> Result<(), RuntimeError> {
        match (self, instance) {
            (Self::Local(local), Instance::Local(instance)) => {
                local.open_egress(instance, who, handler, tasks).await
            }
            // Agents of pods come to the port for agents by themselves.
            (Self::Kubernetes(_), Instance::Pod(_)) => Ok(()),
            _ => Err(RuntimeError::missing()),
        }
    }

    /// Remembers which start of the agent this is, so that a later server can tell.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn remember(&self, instance: &Instance, boot_id: &str) -> Result<(), RuntimeError> {
        match (self, instance) {
            (Self::Local(local), Instance::Local(instance)) => {
                local.remember(instance, boot_id).await
            }
            (Self::Kubernetes(pods), Instance::Pod(instance)) => {
                pods.remember(instance, boot_id).await
            }
            _ => Err(RuntimeError::missing()),
        }
    }

    /// Ends the container whatever it does, and frees what it held but the volume.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn kill(&self, instance: Instance) -> Result<(), RuntimeError> {
        match (self, instance) {
            (Self::Local(local), Instance::Local(instance)) => local.kill(instance).await,
            (Self::Kubernetes(pods), Instance::Pod(instance)) => pods.kill(instance).await,
            _ => Err(RuntimeError::missing()),
        }
    }

    /// Deletes the volume of a container that does not run.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn remove_volume(&self, container: ContainerId) -> Result<(), RuntimeError> {
        match self {
            Self::Local(local) => local.remove_volume(container).await,
            Self::Kubernetes(pods) => pods.remove_volume(container).await,
            Self::None => Err(RuntimeError::missing()),
        }
    }

    /// Containers that this runtime has something of: a volume, or a process.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn known(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        match self {
            Self::Local(local) => local.known().await,
            Self::Kubernetes(pods) => pods.known().await,
            Self::None => Ok(Vec::new()),
        }
    }

    /// The steps of a start, in their order.
    pub fn steps(&self) -> &'static [StepName] {
        match self {
            Self::Kubernetes(_) => &StepName::OF_PODS,
            Self::Local(_) | Self::None => &StepName::ALL,
        }
    }

    /// Whether containers stop with the server.
    pub fn stops_with_server(&self, config: &Config) -> bool {
        matches!(self, Self::Local(_)) && config.runtime.local.stop_with_server
    }

    /// After how many minutes without activity a container is stopped; 0 means never.
    pub fn idle_minutes(&self, config: &Config) -> u32 {
        match self {
            Self::Kubernetes(_) => config.kubernetes.idle_stop_minutes,
            Self::Local(_) | Self::None => config.runtime.local.idle_stop_minutes,
        }
    }

    /// The memory of a container, in MiB.
    pub fn memory_mib(&self, instance: &Instance, config: &Config) -> u64 {
        match instance {
            Instance::Local(_) => config.runtime.local.memory_mib,
            Instance::Pod(pod) => pod.class().map_or(0, |class| class.memory_mib.into()),
        }
    }
}

impl Instance {
    /// Where its agent listens.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Self::Local(instance) => instance.endpoint(),
            Self::Pod(instance) => instance.endpoint(),
        }
    }

    /// The agent's boot id, when an earlier server noted one.
    pub fn boot_id(&self) -> Option<&str> {
        match self {
            Self::Local(instance) => instance.boot_id(),
            Self::Pod(instance) => instance.boot_id(),
        }
    }

    /// Waits until it ends. May be dropped and called again.
    pub async fn ended(&mut self) -> Ended {
        match self {
            Self::Local(instance) => instance.ended().await,
            Self::Pod(instance) => instance.ended().await,
        }
    }

    /// How often the system ended a process of the container because its memory was full.
    pub async fn out_of_memory(&self) -> u64 {
        match self {
            Self::Local(instance) => instance.out_of_memory().await,
            Self::Pod(instance) => instance.out_of_memory(),
        }
    }

    /// The last lines that the container's start wrote, for a reason to show.
    pub async fn last_words(&self) -> String {
        match self {
            Self::Local(instance) => instance.last_words().await,
            Self::Pod(instance) => instance.last_words(),
        }
    }
}
