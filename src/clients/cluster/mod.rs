//! Speaks with the Kubernetes API for the controller: makes the cluster hold what is wanted of a container, and says what
//! it holds.
//!
//! What always holds:
//! - [`Cluster::converge`] is level-triggered. It looks at everything anew, may be repeated, and may be cut off between any
//!   two calls: nothing is remembered that the cluster does not hold, except what saves calls.
//! - A pod is created only after both network policies were read back with the content wanted.
//! - An object that does not carry this installation's labels is never changed and never deleted, whatever its name.
//! - No Secret is ever read, no command is run in a pod, no port is forwarded.
//! - Every call has a time limit, shorter than what a lost lease leaves ([`lease`]).
//!
//! Plain types only: must not import features, store or web.

mod call;
mod converge;
mod guard;
mod known;
mod lease;
mod model;
mod names;
mod objects;
mod reasons;
mod run;
mod settings;
mod volume;
mod watch;

pub use call::ClusterError;
pub use known::{Collected, Known};
pub use lease::{Election, Leadership, Outcome};
pub use model::{Observed, Phase, Start, Step, Wanted, WantedState, Work};
pub use names::{Labels, namespace_of};
pub use objects::OTHER_PORT;
pub use reasons::Refusal;
pub use settings::{Class, Facts, Gpu, Overhead, Server, Settings, Toleration};
pub use watch::Change;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a policy that was put back is given until the enforcer has it. Measured with Calico: 0.35 to 0.48 s.
const SETTLE: Duration = Duration::from_secs(2);

/// A connection to one cluster, for one installation. Cheap to clone; clones share it.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    settings: Arc<Settings>,
    labels: Arc<Labels>,
    leadership: Leadership,
    memory: Arc<Mutex<Memory>>,
    api_server: Option<SocketAddr>,
}

/// What saves calls, or bridges the enforcer's delay. Losing it is harmless.
#[derive(Default)]
struct Memory {
    server: Option<(SocketAddr, Instant)>,
    /// Container and start whose Secret holds no token any more.
    bare: HashMap<String, u64>,
    /// Containers whose policies were put back, and since when.
    unprotected: HashMap<String, (Instant, String)>,
}

/// How the API is reached.
#[derive(Debug, Clone)]
pub enum Access {
    /// With the account of the pod that this runs in.
    InCluster,
    /// With a kubeconfig file and, where given, one of its contexts.
    Kubeconfig {
        /// The file.
        path: std::path::PathBuf,
        /// The context; the file's current one when none.
        context: Option<String>,
    },
}

impl Cluster {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`ClusterError::Setting`] when the settings or the credentials cannot be used.
    pub async fn connect(settings: Settings, access: Access) -> Result<Self, ClusterError> {
        let config = match access {
            Access::InCluster => kube::Config::incluster()
                .map_err(|error| ClusterError::Setting(format!("no account of a pod: {error}")))?,
            Access::Kubeconfig { path, context } => {
                let file = kube::config::Kubeconfig::read_from(&path).map_err(|error| {
                    ClusterError::Setting(format!("{} cannot be used: {error}", path.display()))
                })?;
                let options = kube::config::KubeConfigOptions {
                    context,
                    ..Default::default()
                };
                kube::Config::from_custom_kubeconfig(file, &options)
                    .await
                    .map_err(|error| {
                        ClusterError::Setting(format!("{} cannot be used: {error}", path.display()))
                    })?
            }
        };
        Self::with_config(settings, config)
    }

    /// Over a configuration that the caller made.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub fn with_config(settings: Settings, config: kube::Config) -> Result<Self, ClusterError> {
        settings.check().map_err(ClusterError::Setting)?;
        let api_server =
            settings::address(config.cluster_url.host(), config.cluster_url.port_u16());
        let client = kube::Client::try_from(config).map_err(|error| {
            ClusterError::Setting(format!("no client for this cluster: {error}"))
        })?;
        let labels = Arc::new(Labels::new(&settings.install));
        Ok(Self {
            client,
            settings: Arc::new(settings),
            labels,
            leadership: Leadership::always(),
            memory: Arc::default(),
            api_server,
        })
    }

    /// The same, changing things only while `leadership` is held.
    #[must_use]
    pub fn led_by(&self, leadership: Leadership) -> Self {
        Self {
            leadership,
            ..self.clone()
        }
    }

    /// What it was made with.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    fn remember<T>(&self, what: impl FnOnce(&mut Memory) -> T) -> T {
        // Nothing in the closures panics half-way through a change that matters: a poisoned lock is as good as any.
        let mut memory = self
            .memory
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        what(&mut memory)
    }
}
