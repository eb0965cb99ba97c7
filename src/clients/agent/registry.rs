//! Which containers run, and where their agents listen.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::{AgentStream, Endpoint};
use super::transport::{Body, Connector};
use crate::kernel::ContainerId;

/// How long an unused connection is kept.
const POOL_IDLE: std::time::Duration = std::time::Duration::from_secs(30);

/// How long what a [`Finder`] said is believed.
const FOUND: std::time::Duration = std::time::Duration::from_secs(1);

type Endpoints = RwLock<HashMap<ContainerId, Known>>;

/// Where the agent of one start listens.
struct Known {
    start: u64,
    endpoint: Endpoint,
    since: Instant,
}

/// Says where the agent of a container listens that runs, wherever it was started from.
pub type Finder = Arc<dyn Fn(ContainerId) -> BoxFuture<'static, Option<Endpoint>> + Send + Sync>;

/// All agents that can be reached. Cheap to clone.
#[derive(Clone)]
pub struct Agents {
    endpoints: Arc<Endpoints>,
    starts: Arc<AtomicU64>,
    finder: Option<Finder>,
    http: Client<Connector, Body>,
}

impl Default for Agents {
    fn default() -> Self {
        Self::new()
    }
}

impl Agents {
    /// No agents yet.
    pub fn new() -> Self {
        let endpoints: Arc<Endpoints> = Arc::default();
        let known = Arc::clone(&endpoints);
        let connector = Connector::new(move |uri: hyper::Uri| {
            let endpoint = find(&known, &uri);
            Box::pin(async move {
                let endpoint = endpoint.ok_or_else(|| {
                    std::io::Error::new(
                        std::io::ErrorKind::NotConnected,
                        "the container was stopped meanwhile",
                    )
                })?;
                Ok(AgentStream::new(endpoint.connect().await?))
            }) as super::transport::Connecting
        });
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(8)
            .build(connector);
        Self {
            endpoints,
            starts: Arc::new(AtomicU64::new(1)),
            finder: None,
            http,
        }
    }

    /// No agents yet, and a way to find those that other servers started.
    pub fn with_finder(finder: Finder) -> Self {
        Self {
            finder: Some(finder),
            ..Self::new()
        }
    }

    /// Makes a started container's agent known. The same endpoint is the same start.
    pub fn set(&self, container: ContainerId, endpoint: Endpoint) -> Agent {
        let mut endpoints = self
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let same = endpoints
            .get(&container)
            .filter(|known| self.finder.is_some() && known.endpoint == endpoint)
            .map(|known| known.start);
        let start = same.unwrap_or_else(|| self.starts.fetch_add(1, Ordering::Relaxed));
        let since = Instant::now();
        endpoints.insert(
            container,
            Known {
                start,
                endpoint,
                since,
            },
        );
        drop(endpoints);
        self.agent(container, start)
    }

    fn agent(&self, container: ContainerId, start: u64) -> Agent {
        Agent {
            container,
            start,
            http: self.http.clone(),
        }
    }

    /// How many are known.
    pub fn count(&self) -> usize {
        self.endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Forgets a container that stopped.
    pub fn remove(&self, container: ContainerId) {
        self.endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&container);
    }

    /// The agent of a running container.
    ///
    /// # Errors
    /// [`AgentError::NotRunning`](super::AgentError::NotRunning).
    pub async fn get(&self, container: ContainerId) -> Result<Agent, super::AgentError> {
        let known = self
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&container)
            .map(|known| (known.start, known.since));
        match (&self.finder, known) {
            (None, Some((start, _))) => Ok(self.agent(container, start)),
            (Some(_), Some((start, since))) if since.elapsed() < FOUND => {
                Ok(self.agent(container, start))
            }
            (Some(finder), _) => {
                if let Some(endpoint) = finder(container).await {
                    return Ok(self.set(container, endpoint));
                }
                self.remove(container);
                Err(super::AgentError::NotRunning)
            }
            (None, None) => Err(super::AgentError::NotRunning),
        }
    }
}

/// One start of one container's agent. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    container: ContainerId,
    start: u64,
    pub(super) http: Client<Connector, Body>,
}

impl Agent {
    /// The container.
    pub fn container(&self) -> ContainerId {
        self.container
    }

    /// The name under which connections are pooled. It holds the start, so that a connection to an agent that ended
    /// is not tried on the next one.
    pub(super) fn authority(&self) -> String {
        format!("{}.{}", self.start, self.container.suffix())
    }
}

fn find(endpoints: &Endpoints, uri: &hyper::Uri) -> Option<Endpoint> {
    let (start, container) = uri.host()?.split_once('.')?;
    let container = ContainerId::from_suffix(container).ok()?;
    let start: u64 = start.parse().ok()?;
    let endpoints = endpoints.read().unwrap_or_else(PoisonError::into_inner);
    endpoints
        .get(&container)
        .filter(|known| known.start == start)
        .map(|known| known.endpoint.clone())
}
