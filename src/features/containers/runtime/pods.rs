//! The server's view of pods, which `optidev controller` makes: it writes what it wants into the table `pod` and reads there
//! what became of it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use optidev_agent::wire::Isolation;
use rustls::pki_types::ServerName;
use tokio::sync::watch;

use super::{Ended, RuntimeError, Steps};
use crate::clients::agent::{Agent, Broker, Endpoint};
use crate::clients::cluster::Phase;
use crate::config::{ClassConfig, KubernetesConfig};
use crate::context::Services;
use crate::features::containers::model::{Identity, StepName, Wanted};
use crate::features::containers::pods::store::{self, Ask};
use crate::features::containers::pods::{self, pod};
use crate::features::containers::store as containers;
use crate::kernel::ContainerId;
use crate::store::StoreError;

/// Between two looks at a start.
const POLL: Duration = Duration::from_millis(50);
/// Between two looks at all that run.
const LOOK: Duration = Duration::from_millis(500);
/// How long a pod is given to end, or a namespace to go, before the server looks again from the start.
const END: Duration = Duration::from_secs(60);
/// How long an agent is given to prove its isolation; it tries for 15 seconds itself.
const PROOF: Duration = Duration::from_secs(30);
/// How long a container that is cut off is waited for by a server that takes over.
const CUT_OFF: Duration = Duration::from_secs(20);

/// Pods, as a runtime.
pub struct Pods {
    services: Services,
    broker: Broker,
    seen: Mutex<HashMap<ContainerId, pod::Model>>,
    looks: watch::Sender<u64>,
}

/// A running pod. Dropping it leaves the pod running.
pub struct PodInstance {
    pods: Arc<Pods>,
    who: Identity,
    asked: i64,
    endpoint: Endpoint,
    boot_id: Option<String>,
    looks: watch::Receiver<u64>,
}

impl Pods {
    /// Watches what the controller writes until the server shuts down.
    pub fn open(services: &Services, broker: Broker) -> Arc<Self> {
        let pods = Arc::new(Self {
            services: services.clone(),
            broker,
            seen: Mutex::default(),
            looks: watch::Sender::new(0),
        });
        let looking = Arc::clone(&pods);
        let shutdown = services.shutdown.clone();
        services.tasks.spawn(async move {
            shutdown.run_until_cancelled(looking.look()).await;
        });
        pods
    }

    async fn look(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            // Nobody waits for an end where nothing runs.
            if self.looks.receiver_count() == 0 {
                continue;
            }
            match store::all(&self.services.store).await {
                Ok(rows) => {
                    let rows = rows.into_iter().map(|row| (row.container_id, row));
                    *self.seen() = rows.collect();
                    self.looks.send_modify(|looks| *looks += 1);
                }
                Err(error) => tracing::warn!(%error, "pods cannot be read; trying again"),
            }
        }
    }

    pub(super) fn volume(&self) -> String {
        "made with the pod, kept when it stops".to_owned()
    }

    pub(super) async fn adopt(
        self: &Arc<Self>,
        container: ContainerId,
    ) -> Result<Option<PodInstance>, RuntimeError> {
        let since = Instant::now();
        loop {
            let Some(row) = self.read(container).await? else {
                return Ok(None);
            };
            if row.wanted() != Wanted::Running || !row.is_enrolled() {
                return Ok(None);
            }
            if let Some(instance) = self.instance(&row)? {
                return Ok(Some(instance));
            }
            if row.phase() != Some(Phase::Unprotected) || since.elapsed() > CUT_OFF {
                return Ok(None);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn launch(
        self: &Arc<Self>,
        who: Identity,
        steps: &mut dyn Steps,
    ) -> Result<PodInstance, RuntimeError> {
        let config = &self.services.config.kubernetes;
        let row = containers::scan_one(&self.services.store, who.container)
            .await
            .map_err(database)?
            .ok_or_else(|| RuntimeError::Failed("the container is gone".to_owned()))?;
        let class = row.class.as_deref().unwrap_or(&config.default_class);
        let image = row
            .image
            .as_deref()
            .or(config.images.first().map(String::as_str))
            .unwrap_or_default();
        let ask = Ask {
            wanted: Wanted::Running,
            start: Some((class, image)),
        };
        let asked = self.ask(who, &ask).await?;
        match self.until_up(who.container, asked, config, steps).await {
            Ok(instance) => Ok(instance),
            Err(error) => {
                self.stop(who).await?;
                Err(error)
            }
        }
    }

    async fn until_up(
        self: &Arc<Self>,
        container: ContainerId,
        asked: i64,
        config: &KubernetesConfig,
        steps: &mut dyn Steps,
    ) -> Result<PodInstance, RuntimeError> {
        let since = Instant::now();
        let limit = Duration::from_secs(u64::from(config.start_timeout_seconds));
        steps.enter(StepName::Node);
        let mut placed = false;
        let mut asked_at = Instant::now();
        loop {
            // A start may wait for a node for as long as the limit; its owner need not.
            if asked_at.elapsed() > LOOK {
                asked_at = Instant::now();
                let row = containers::scan_one(&self.services.store, container).await;
                if row
                    .map_err(database)?
                    .is_none_or(|row| row.wanted() != Wanted::Running)
                {
                    return Err(RuntimeError::Failed(
                        "it was asked to stop meanwhile".to_owned(),
                    ));
                }
            }
            let row = self.read(container).await?;
            let row = row
                .filter(|row| row.asked == asked)
                .ok_or_else(|| RuntimeError::Failed("it was asked to stop meanwhile".to_owned()))?;
            let reason = || row.reason.clone().unwrap_or_default();
            let phase = row.phase();
            if !placed
                && matches!(
                    phase,
                    Some(Phase::Pulling | Phase::Starting | Phase::Up | Phase::Ended)
                )
            {
                placed = true;
                steps.done(StepName::Node, None);
                steps.enter(StepName::Image);
            }
            if phase == Some(Phase::Ended) {
                return Err(RuntimeError::Failed(format!("the pod ended: {}", reason())));
            }
            if row.permanent {
                return Err(RuntimeError::Machine(reason()));
            }
            if row.is_enrolled()
                && let Some(instance) = self.instance(&row)?
            {
                if !placed {
                    steps.done(StepName::Node, None);
                }
                steps.done(StepName::Image, Some(row.image.clone()));
                return Ok(instance);
            }
            if since.elapsed() > limit {
                return Err(RuntimeError::Failed(format!(
                    "it did not start within {} s: {}",
                    limit.as_secs(),
                    row.reason
                        .unwrap_or_else(|| "is `optidev controller` running?".to_owned())
                )));
            }
            let now = if placed {
                StepName::Image
            } else {
                StepName::Node
            };
            steps.note(now, row.reason);
            tokio::time::sleep(POLL).await;
        }
    }

    /// The pod of a row, when it may be connected to.
    fn instance(self: &Arc<Self>, row: &pod::Model) -> Result<Option<PodInstance>, RuntimeError> {
        let Some(endpoint) = endpoint(&self.services.config.kubernetes, &self.broker, row) else {
            return Ok(None);
        };
        Ok(Some(PodInstance {
            pods: Arc::clone(self),
            who: row.identity(),
            asked: row.asked,
            endpoint,
            boot_id: row.boot_id.clone(),
            looks: self.looks.subscribe(),
        }))
    }

    pub(super) async fn prove_isolation(&self, agent: &Agent) -> Result<String, RuntimeError> {
        let since = Instant::now();
        loop {
            let hello = agent.hello().await;
            let hello = hello.map_err(|error| {
                RuntimeError::Unproven(format!("the agent does not answer: {error}"))
            })?;
            let Some(isolation) = hello.isolation else {
                let why = "the agent in the pod makes no proof".to_owned();
                return Err(RuntimeError::Unproven(why));
            };
            if isolation.proven {
                return Ok(proof(&isolation));
            }
            let over = isolation.checked_at_ms > 0;
            if over || since.elapsed() > PROOF {
                return Err(RuntimeError::Unproven(failure(&isolation)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn remember(
        &self,
        instance: &PodInstance,
        boot_id: &str,
    ) -> Result<(), RuntimeError> {
        let store = &self.services.store;
        match store::remember(store, instance.who, instance.asked, boot_id).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let why = "something else was asked of it meanwhile".to_owned();
                Err(RuntimeError::Failed(why))
            }
            Err(error) => Err(database(error)),
        }
    }

    pub(super) async fn kill(&self, instance: PodInstance) -> Result<(), RuntimeError> {
        let who = instance.who;
        drop(instance);
        self.stop(who).await
    }

    /// Wants it stopped, and waits until it is.
    async fn stop(&self, who: Identity) -> Result<(), RuntimeError> {
        let ask = Ask {
            wanted: Wanted::Stopped,
            start: None,
        };
        let asked = self.ask(who, &ask).await?;
        self.until(who.container, asked, |phase| {
            matches!(phase, Phase::Stopped | Phase::Gone)
        })
        .await
    }

    pub(super) async fn remove_volume(&self, container: ContainerId) -> Result<(), RuntimeError> {
        let Some(row) = self.read(container).await? else {
            return Ok(());
        };
        let asked = if row.wanted() == Wanted::Deleted {
            row.asked
        } else {
            let ask = Ask {
                wanted: Wanted::Deleted,
                start: None,
            };
            self.ask(row.identity(), &ask).await?
        };
        self.until(container, asked, |phase| phase == Phase::Gone)
            .await?;
        store::remove(&self.services.store, container)
            .await
            .map_err(database)
    }

    async fn until(
        &self,
        container: ContainerId,
        asked: i64,
        done: impl Fn(Phase) -> bool,
    ) -> Result<(), RuntimeError> {
        let since = Instant::now();
        loop {
            let row = self.read(container).await?;
            let Some(row) = row.filter(|row| row.asked == asked) else {
                return Ok(());
            };
            if row.phase().is_some_and(&done) {
                return Ok(());
            }
            if since.elapsed() > END {
                let why = row
                    .reason
                    .unwrap_or_else(|| "is `optidev controller` running?".to_owned());
                return Err(RuntimeError::Failed(format!(
                    "it is not gone after {} s: {why}",
                    END.as_secs()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) async fn known(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        let rows = store::all(&self.services.store).await.map_err(database)?;
        let there = rows
            .into_iter()
            .filter(|row| !matches!(row.phase(), Some(Phase::Stopped | Phase::Gone)));
        Ok(there.map(|row| row.container_id).collect())
    }

    async fn read(&self, container: ContainerId) -> Result<Option<pod::Model>, RuntimeError> {
        store::read(&self.services.store, container)
            .await
            .map_err(database)
    }

    async fn ask(&self, who: Identity, ask: &Ask<'_>) -> Result<i64, RuntimeError> {
        let now = self.services.clock.now_ms();
        store::ask(&self.services.store, who, ask, now)
            .await
            .map_err(database)
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerId, pod::Model>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds pods that other servers started, once their isolation was proven.
pub fn finder(services: &Services, broker: &Broker) -> crate::clients::agent::Finder {
    let (services, broker) = (services.clone(), broker.clone());
    Arc::new(move |container| -> BoxFuture<'static, Option<Endpoint>> {
        let (services, broker) = (services.clone(), broker.clone());
        Box::pin(async move {
            let row = store::read(&services.store, container).await.ok()??;
            row.boot_id.as_ref()?;
            endpoint(&services.config.kubernetes, &broker, &row)
        })
    })
}

/// Where the agent of a row is, if it may be connected to: not while the network policies are not certainly in force.
fn endpoint(config: &KubernetesConfig, broker: &Broker, row: &pod::Model) -> Option<Endpoint> {
    let shut = matches!(row.phase(), None | Some(Phase::Unprotected | Phase::Ended));
    if row.wanted() != Wanted::Running || !row.is_enrolled() || shut {
        return None;
    }
    let ip: IpAddr = row.ip.as_deref()?.parse().ok()?;
    Some(Endpoint::Tls {
        address: SocketAddr::new(ip, config.agent_port),
        name: ServerName::try_from(pods::name(row.container_id)).ok()?,
        attempt: row.attempt,
        broker: broker.clone(),
    })
}

impl PodInstance {
    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }

    pub(super) fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    pub(super) async fn ended(&mut self) -> Ended {
        loop {
            let over = self.row().is_some_and(|row| {
                row.asked != self.asked
                    || matches!(
                        row.phase(),
                        Some(Phase::Ended | Phase::Terminating | Phase::Stopped | Phase::Gone)
                    )
            });
            if over || self.looks.changed().await.is_err() {
                return Ended::Unknown;
            }
        }
    }

    pub(super) fn out_of_memory(&self) -> u64 {
        self.row().is_some_and(|row| row.out_of_memory).into()
    }

    /// What the controller said of its end.
    pub(super) fn last_words(&self) -> String {
        self.row().and_then(|row| row.reason).unwrap_or_default()
    }

    /// The class that it runs in.
    pub(super) fn class(&self) -> Option<&ClassConfig> {
        let classes = &self.pods.services.config.kubernetes.classes;
        classes.get(&self.row()?.class)
    }

    fn row(&self) -> Option<pod::Model> {
        self.pods.seen().get(&self.who.container).cloned()
    }
}

fn proof(isolation: &Isolation) -> String {
    let shut = isolation.probes.len().saturating_sub(1);
    format!(
        "{shut} forbidden destinations tried and silent, the allowed one answers ({} ms)",
        isolation.took_ms
    )
}

fn failure(isolation: &Isolation) -> String {
    let wrong: Vec<String> = isolation
        .probes
        .iter()
        .filter(|probe| !probe.holds())
        .map(|probe| format!("{} ({}): {}", probe.name, probe.address, probe.detail))
        .collect();
    if wrong.is_empty() {
        return "the probes did not come to an end in time".to_owned();
    }
    format!(
        "{}. Does the cluster's network enforce NetworkPolicies?",
        wrong.join("; ")
    )
}

fn database(error: StoreError) -> RuntimeError {
    RuntimeError::io("the database", error)
}
