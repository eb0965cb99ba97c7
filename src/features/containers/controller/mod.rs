//! Makes running containers match what the database asks for.
//!
//! Level-triggered: it reads what is wanted, acts, and writes what it observed. It takes no command: a wake-up only
//! says "look again", and it looks every few seconds anyway. Every step may be repeated or interrupted.
//!
//! One task per container works on it; two never do. While a container runs, its task waits for the container's end
//! and notices it at once.

mod actor;
mod backoff;
mod idle;
mod leading;
mod progress;
mod rights;
mod starting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use optidev_agent::wire::Hello;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::model::{Identity, Observed, State, Wanted};
use super::runtime::{EgressHandler, Runtime};
use super::store;
use crate::clients::agent::{Agent, Agents};
use crate::context::Services;
use crate::features::audit::Lately;
use crate::kernel::{Code, ContainerId, Problem};
use crate::store::StoreError;

/// How often the database is looked at without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How often a leader looks for what was asked of other servers.
const ASKED_ELSEWHERE: Duration = Duration::from_millis(300);

/// How often it is looked at for those who follow what another server does.
const MIRROR: Duration = Duration::from_secs(1);

/// What the controller is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where containers run.
    pub runtime: Runtime,
    /// Where agents are made known.
    pub agents: Agents,
    /// Takes containers' connections to the outside.
    pub egress: EgressHandler,
    /// Gives a container that starts its secrets.
    pub deliver: DeliverHandler,
}

/// Delivers secrets to a container whose isolation was proven. The secrets feature's operation, given by `app`.
pub type DeliverHandler =
    Arc<dyn Fn(Identity, Agent, Hello) -> BoxFuture<'static, Result<(), Problem>> + Send + Sync>;

/// The controller.
pub struct Controller {
    services: Services,
    parts: Parts,
    containers: Tasks,
    /// Whether this server works on containers, and not another one.
    leading: watch::Sender<bool>,
    /// Accesses to containers that were told lately.
    pub(super) lately: Lately,
}

/// The containers that tasks work on.
type Tasks = Arc<Mutex<HashMap<ContainerId, Arc<Watched>>>>;

/// A container that a task works on.
struct Watched {
    identity: Identity,
    look: Notify,
    observed: watch::Sender<Observed>,
}

impl Controller {
    /// A controller that does nothing yet.
    pub fn new(services: Services, parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            services,
            parts,
            containers: Tasks::default(),
            leading: watch::Sender::new(false),
            lately: Lately::default(),
        })
    }

    /// Works until the server shuts down; then it stops the containers, if the configuration says so.
    pub fn start(self: &Arc<Self>) {
        if !self.services.config.runtime.controller {
            return;
        }
        // Containers of this machine are this server's; pods may be any server's.
        let elected = matches!(self.parts.runtime, Runtime::Kubernetes(_));
        if elected {
            let controller = Arc::clone(self);
            self.services.tasks.spawn(async move {
                leading::run(&controller.services, &controller.leading).await;
            });
            let controller = Arc::clone(self);
            let shutdown = self.services.shutdown.clone();
            self.services.tasks.spawn(async move {
                shutdown
                    .run_until_cancelled(controller.hear_other_servers())
                    .await;
            });
        } else {
            self.leading.send_replace(true);
        }
        let controller = Arc::clone(self);
        self.services.tasks.spawn(async move {
            let mut leading = controller.leading.subscribe();
            loop {
                if *leading.borrow_and_update()
                    && let Err(error) = controller.look_at_all().await
                {
                    tracing::warn!(%error, "containers cannot be read; trying again");
                }
                tokio::select! {
                    () = controller.services.shutdown.cancelled() => break,
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    _ = leading.changed() => {}
                }
            }
        });
    }

    /// Looks for containers of which something was asked on another server.
    async fn hear_other_servers(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(ASKED_ELSEWHERE).await;
            if !self.is_active() {
                continue;
            }
            match store::unfulfilled(&self.services.store).await {
                Ok(rows) => rows.iter().for_each(|row| self.wake(row)),
                Err(error) => tracing::debug!(%error, "containers cannot be read; trying again"),
            }
        }
    }

    /// Somebody asked for something else: look at this container now.
    pub fn wake(self: &Arc<Self>, row: &store::container::Model) {
        if self.is_active() {
            self.watch_over(row).look.notify_one();
        }
    }

    /// How many containers are in which state, as far as this server works on them, and how many agents it knows.
    pub fn counts(&self) -> (Vec<(&'static str, usize)>, usize) {
        let containers = self
            .containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let states: Vec<State> = containers
            .values()
            .map(|watched| watched.observed.borrow().state)
            .collect();
        let count = |state: &State| states.iter().filter(|one| *one == state).count();
        let all = State::ALL
            .iter()
            .map(|state| (state.as_str(), count(state)));
        (all.collect(), self.parts.agents.count())
    }

    /// Whether this server works on containers, and not another one.
    fn is_active(&self) -> bool {
        *self.leading.borrow()
    }

    /// Waits until it begins, or ceases, to.
    async fn until_active_is(&self, active: bool) {
        let _ = self
            .leading
            .subscribe()
            .wait_for(|leads| *leads == active)
            .await;
    }

    /// What is known of a container; fresher than the database when a task works on it.
    pub fn observed(&self, row: &store::container::Model) -> Observed {
        let containers = self
            .containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match containers.get(&row.id) {
            // Another server's work is mirrored a moment later than it is in the row.
            Some(watched) if self.is_active() => Observed {
                wanted: row.wanted(),
                ..watched.observed.borrow().clone()
            },
            _ => row.observed(),
        }
    }

    /// The agent of a running container.
    ///
    /// # Errors
    /// `conflict` with the state, in words, when it does not run.
    pub async fn agent_of(&self, row: &store::container::Model) -> Result<Agent, Problem> {
        let observed = self.observed(row);
        let detail = match observed.state {
            State::Running => return Ok(self.parts.agents.get(row.id).await?),
            State::Stopped => "The container is not running. Start it first.".to_owned(),
            State::Starting => "The container is starting. Try again in a moment.".to_owned(),
            State::Stopping => "The container is stopping. Start it again first.".to_owned(),
            State::Failed => format!(
                "The container failed to start: {}",
                observed.reason.unwrap_or_default()
            ),
        };
        Err(Problem::new(Code::Conflict, detail))
    }

    /// Follows a container from now on.
    pub fn follow(self: &Arc<Self>, row: &store::container::Model) -> watch::Receiver<Observed> {
        self.watch_over(row).observed.subscribe()
    }

    async fn look_at_all(self: &Arc<Self>) -> Result<(), StoreError> {
        let rows = store::scan(&self.services.store).await?;
        let known = match self.parts.runtime.known().await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(%error, "volumes cannot be listed; trying again");
                Vec::new()
            }
        };
        rights::enforce(&self.services, &rows).await?;
        for row in &rows {
            // Of a container that is to be stopped there may be a process left by an earlier server.
            if row.wanted() != Wanted::Stopped || known.contains(&row.id) {
                self.watch_over(row);
            }
        }
        for id in known {
            if !rows.iter().any(|row| row.id == id) && !self.is_watched(id) {
                self.end_orphan(id).await;
            }
        }
        let containers = self
            .containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for watched in containers.values() {
            watched.look.notify_one();
        }
        Ok(())
    }

    /// Tells those who follow a container what another server's controller writes of it.
    async fn mirror(&self, watched: &Watched) {
        let services = &self.services;
        loop {
            tokio::select! {
                () = services.shutdown.cancelled() => return,
                () = tokio::time::sleep(MIRROR) => {}
            }
            let row = store::scan_one(&services.store, watched.identity.container).await;
            match row {
                Ok(Some(row)) => {
                    watched.observed.send_replace(row.observed());
                }
                Ok(None) => return,
                Err(error) => tracing::debug!(%error, "a container cannot be read; trying again"),
            }
            if watched.observed.receiver_count() == 0 {
                return;
            }
        }
    }

    /// A process whose row is gone (its member or workspace was removed) ends. Its volume stays: a database that was
    /// exchanged by mistake must not cost anyone their work.
    async fn end_orphan(&self, id: ContainerId) {
        if let Ok(Some(instance)) = self.parts.runtime.adopt(id).await {
            tracing::warn!(container = %id, "a container that no database row asks for is stopped; its volume is kept");
            if let Err(error) = self.parts.runtime.kill(instance).await {
                tracing::warn!(container = %id, %error, "it cannot be stopped");
            }
        }
    }

    fn is_watched(&self, id: ContainerId) -> bool {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&id)
    }

    /// The task of this container, started when there is none.
    fn watch_over(self: &Arc<Self>, row: &store::container::Model) -> Arc<Watched> {
        let mut containers = self
            .containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let watched = containers.entry(row.id).or_insert_with(|| {
            let watched = Arc::new(Watched {
                identity: row.identity(),
                look: Notify::new(),
                observed: watch::Sender::new(row.observed()),
            });
            let (controller, own) = (Arc::clone(self), Arc::clone(&watched));
            self.services.tasks.spawn(async move {
                let _entry = Entry {
                    all: Arc::clone(&controller.containers),
                    shutdown: controller.services.shutdown.clone(),
                    watched: Arc::clone(&own),
                };
                // Dropped at any point when another server leads: every step may be interrupted.
                if controller.is_active() {
                    tokio::select! {
                        () = actor::run(&controller, &own) => {}
                        () = controller.until_active_is(false) => {}
                    }
                } else {
                    tokio::select! {
                        () = controller.mirror(&own) => {}
                        () = controller.until_active_is(true) => {}
                    }
                }
            });
            watched
        });
        Arc::clone(watched)
    }
}

/// A task's place among [`Tasks`]: given back however the task ends. The container is gone, or the task panicked and
/// the next look begins another one, which takes over what runs.
struct Entry {
    all: Tasks,
    shutdown: CancellationToken,
    watched: Arc<Watched>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let id = self.watched.identity.container;
        if std::thread::panicking() {
            tracing::error!(container = %id, "the container's task panicked; another one takes over");
        }
        // A server that stops begins nothing again.
        if self.shutdown.is_cancelled() {
            return;
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all
            .get(&id)
            .is_some_and(|current| Arc::ptr_eq(current, &self.watched))
        {
            all.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng, UserId, WorkspaceId};

    #[tokio::test]
    async fn a_task_that_panics_leaves_no_entry() {
        let clock = Clock::fixed(1);
        let identity = Identity {
            workspace: WorkspaceId::new(&clock, &Rng),
            container: ContainerId::new(&clock, &Rng),
            owner: UserId::new(&clock, &Rng),
        };
        let end = async |all: &Tasks, shutdown: &CancellationToken| {
            let watched = Arc::new(Watched {
                identity,
                look: Notify::new(),
                observed: watch::Sender::new(Observed {
                    wanted: Wanted::Running,
                    state: State::Running,
                    reason: None,
                    steps: Vec::new(),
                    started_at_ms: None,
                    start_duration_ms: None,
                }),
            });
            all.lock()
                .unwrap()
                .insert(identity.container, Arc::clone(&watched));
            let entry = Entry {
                all: Arc::clone(all),
                shutdown: shutdown.clone(),
                watched,
            };
            let ended = tokio_util::task::TaskTracker::new()
                .spawn(async move {
                    let _entry = entry;
                    panic!("as a task might");
                })
                .await;
            assert!(ended.unwrap_err().is_panic());
            all.lock().unwrap().len()
        };
        let (all, shutdown) = (Tasks::default(), CancellationToken::new());
        assert_eq!(end(&all, &shutdown).await, 0);
        shutdown.cancel();
        assert_eq!(end(&all, &shutdown).await, 1, "nothing begins again");
    }
}
