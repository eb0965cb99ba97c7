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
mod progress;
mod starting;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::model::{Identity, Observed, State, Wanted};
use super::runtime::{EgressHandler, Runtime};
use super::store;
use crate::clients::agent::{Agent, Agents};
use crate::context::Services;
use crate::kernel::{Code, ContainerId, Problem};
use crate::store::StoreError;

/// How often the database is looked at without a wake-up.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What the controller is made of.
#[derive(Clone)]
pub struct Parts {
    /// Where containers run.
    pub runtime: Runtime,
    /// Where agents are made known.
    pub agents: Agents,
    /// Takes containers' connections to the outside.
    pub egress: EgressHandler,
}

/// The controller.
pub struct Controller {
    services: Services,
    parts: Parts,
    containers: Mutex<HashMap<ContainerId, Arc<Watched>>>,
}

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
            containers: Mutex::default(),
        })
    }

    /// Works until the server shuts down; then it stops the containers, if the configuration says so.
    pub fn start(self: &Arc<Self>) {
        let controller = Arc::clone(self);
        self.services.tasks.spawn(async move {
            loop {
                if let Err(error) = controller.look_at_all().await {
                    tracing::warn!(%error, "containers cannot be read; trying again");
                }
                tokio::select! {
                    () = controller.services.shutdown.cancelled() => break,
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
        });
    }

    /// Somebody asked for something else: look at this container now.
    pub fn wake(self: &Arc<Self>, row: &store::container::Model) {
        self.watch_over(row).look.notify_one();
    }

    /// What is known of a container; fresher than the database when a task works on it.
    pub fn observed(&self, row: &store::container::Model) -> Observed {
        let containers = self
            .containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match containers.get(&row.id) {
            Some(watched) => Observed {
                wanted: row.wanted(),
                ..watched.observed.borrow().clone()
            },
            None => row.observed(),
        }
    }

    /// The agent of a running container.
    ///
    /// # Errors
    /// `conflict` with the state, in words, when it does not run.
    pub fn agent_of(&self, row: &store::container::Model) -> Result<Agent, Problem> {
        let observed = self.observed(row);
        let detail = match observed.state {
            State::Running => return Ok(self.parts.agents.get(row.id)?),
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
            self.services
                .tasks
                .spawn(async move { actor::run(&controller, &own).await });
            watched
        });
        Arc::clone(watched)
    }

    /// The task has ended: the container is gone.
    fn forget(&self, id: ContainerId) {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }
}
