//! The task that works on one container.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::progress::Progress;
use super::starting::{self, StartError};
use super::{Controller, Watched, idle};
use crate::clients::agent::Agent;
use crate::features::containers::model::{Observed, State, Wanted};
use crate::features::containers::runtime::{Ended, Instance};
use crate::features::containers::store::{self, container};
use crate::metrics;

/// How long an agent has to end its terminals in good order.
const GRACE: Duration = Duration::from_secs(3);

/// Steps of a start within so long are written together.
const TOGETHER: Duration = Duration::from_millis(200);

/// What the task knows beside what it shows.
struct Actor<'a> {
    controller: &'a Controller,
    watched: &'a Watched,
    running: Option<(Instance, Agent)>,
    backoff: Backoff,
    /// The generation that was last acted on, and that failed for good when it did.
    generation: i64,
    given_up: bool,
    not_before: Option<Instant>,
    /// Why the next start happens, when the owner did not ask for it.
    restart_reason: Option<String>,
    out_of_memory: u64,
    asked_idle: Instant,
}

/// Works on the container until it is gone or the server shuts down.
pub async fn run(controller: &Controller, watched: &Watched) {
    let mut actor = Actor {
        controller,
        watched,
        running: None,
        backoff: Backoff::default(),
        generation: 0,
        given_up: false,
        not_before: None,
        restart_reason: None,
        out_of_memory: 0,
        asked_idle: Instant::now(),
    };
    actor.adopt().await;
    loop {
        match store::scan_one(&controller.services.store, watched.identity.container).await {
            Ok(Some(row)) => {
                if actor.reconcile(&row).await.is_break() {
                    break;
                }
            }
            Ok(None) => {
                actor
                    .stop("The container's owner is no member any more.")
                    .await;
                break;
            }
            Err(error) => {
                tracing::warn!(container = %watched.identity.container, %error, "cannot be read")
            }
        }
        if actor.wait().await.is_break() {
            return;
        }
    }
}

impl Actor<'_> {
    /// Takes over what an earlier server left running.
    async fn adopt(&mut self) {
        let id = self.watched.identity.container;
        let found = match self.controller.parts.runtime.adopt(id).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(container = %id, %error, "an earlier start cannot be looked for");
                None
            }
        };
        let resumed = match found {
            Some(instance) => starting::resume(self.controller, self.watched, instance).await,
            None => Ok(None),
        };
        match resumed {
            Ok(Some((instance, agent))) => {
                tracing::info!(container = %id, "took over a running container");
                self.out_of_memory = instance.out_of_memory().await;
                self.running = Some((instance, agent));
                self.watched
                    .observed
                    .send_modify(|observed| observed.state = State::Running);
            }
            Ok(None) => self.watched.observed.send_modify(|observed| {
                if matches!(
                    observed.state,
                    State::Running | State::Starting | State::Stopping
                ) {
                    observed.state = State::Stopped;
                }
            }),
            Err(error) => tracing::warn!(container = %id, %error, "an earlier start does not end"),
        }
    }

    /// One look: acts on the difference between what is wanted and what is.
    async fn reconcile(&mut self, row: &container::Model) -> ControlFlow<()> {
        if row.generation != self.generation {
            self.generation = row.generation;
            self.given_up = false;
            self.not_before = None;
            self.restart_reason = None;
            self.backoff.reset();
        }
        let wanted = row.wanted();
        if self.watched.observed.borrow().wanted != wanted {
            self.watched
                .observed
                .send_modify(|observed| observed.wanted = wanted);
        }
        match (wanted, self.running.is_some()) {
            (Wanted::Running, false) => {
                let waiting = self.not_before.is_some_and(|time| Instant::now() < time);
                if !self.given_up && !waiting {
                    self.start().await;
                }
            }
            (Wanted::Running, true) => self.look_after().await,
            (Wanted::Stopped, true) => self.stop_as_asked().await,
            (Wanted::Stopped, false) => {
                let observed = self.watched.observed.borrow().clone();
                if observed.state != State::Stopped {
                    self.show(|observed| {
                        observed.state = State::Stopped;
                        observed.reason = None;
                    });
                    self.write().await;
                }
            }
            (Wanted::Deleted, _) => return self.delete().await,
        }
        ControlFlow::Continue(())
    }

    async fn start(&mut self) {
        let steps = self.controller.parts.runtime.steps();
        let reason = self.restart_reason.take();
        let mut progress = Progress::begin(&self.watched.observed, steps, reason);
        let started = tokio::select! {
            biased;
            started = starting::start(self.controller, self.watched, &mut progress) => started,
            () = write_on(self.controller, self.watched) => return,
        };
        match started {
            Ok((instance, agent)) => {
                self.out_of_memory = instance.out_of_memory().await;
                self.running = Some((instance, agent));
                self.asked_idle = Instant::now();
                let (now, took) = (
                    self.controller.services.clock.now_ms(),
                    progress.elapsed_ms(),
                );
                self.show(|observed| {
                    observed.state = State::Running;
                    observed.started_at_ms = Some(now);
                    observed.start_duration_ms = Some(took);
                });
                let took = u64::try_from(took).unwrap_or_default();
                metrics::container_start("started", Some(Duration::from_millis(took)));
                tracing::info!(container = %self.watched.identity.container, duration_ms = took, "started");
            }
            Err(error) => {
                progress.failed(&sentence(&error.to_string()));
                let reason = error.reason();
                tracing::warn!(container = %self.watched.identity.container, error = %reason, "did not start");
                self.failed(&error, sentence(&reason));
            }
        }
        self.write().await;
    }

    fn failed(&mut self, error: &StartError, message: String) {
        let outcome = if error.is_permanent() {
            "failed"
        } else {
            "failed_for_now"
        };
        metrics::container_start(outcome, None);
        let wait = if error.is_permanent() {
            None
        } else {
            self.backoff.failed(Instant::now())
        };
        self.not_before = wait.map(|wait| Instant::now() + wait);
        self.given_up = wait.is_none();
        let state = if self.given_up {
            State::Failed
        } else {
            State::Starting
        };
        if !self.given_up {
            self.restart_reason = Some(message.clone());
        }
        self.show(|observed| {
            observed.state = state;
            observed.reason = Some(message);
        });
    }

    /// The container ended although it is wanted.
    async fn lost(&mut self, ended: Ended) {
        let Some((instance, _)) = self.running.take() else {
            return;
        };
        self.controller
            .parts
            .agents
            .remove(self.watched.identity.container);
        let full = instance.out_of_memory().await > self.out_of_memory;
        let limit = self.memory_mib(&instance);
        let said = match &instance {
            Instance::Pod(_) => instance.last_words().await,
            Instance::Local(_) => String::new(),
        };
        if let Err(error) = self.controller.parts.runtime.kill(instance).await {
            tracing::warn!(container = %self.watched.identity.container, %error, "remains of it do not end");
        }
        let why = if full {
            format!("its {limit} MiB of memory were full")
        } else if said.is_empty() {
            ended.to_string()
        } else {
            said.trim_end_matches('.').to_owned()
        };
        tracing::warn!(container = %self.watched.identity.container, %why, "ended unexpectedly");
        match self.backoff.failed(Instant::now()) {
            Some(wait) => {
                let reason = format!("The agent ended unexpectedly ({why}); restarting.");
                self.not_before = Some(Instant::now() + wait);
                self.restart_reason = Some(reason.clone());
                self.show(|observed| {
                    observed.state = State::Starting;
                    observed.reason = Some(reason);
                });
            }
            None => {
                self.given_up = true;
                self.show(|observed| {
                    observed.state = State::Failed;
                    observed.started_at_ms = None;
                    observed.reason = Some(format!(
                        "The agent ended unexpectedly five times within five minutes ({why}). Start it again when the \
                         cause is gone."
                    ));
                });
                self.write().await;
            }
        }
    }

    /// What happens to a running container: memory that was full, nothing to do.
    async fn look_after(&mut self) {
        let Some((instance, agent)) = &self.running else {
            return;
        };
        let count = instance.out_of_memory().await;
        if count > self.out_of_memory {
            self.out_of_memory = count;
            let limit = self.memory_mib(instance);
            let reason = format!(
                "A process was ended because the container's {limit} MiB of memory were full."
            );
            self.show(|observed| observed.reason = Some(reason));
            self.write().await;
            return;
        }
        if self.asked_idle.elapsed() < idle::ASK {
            return;
        }
        self.asked_idle = Instant::now();
        let controller = self.controller;
        let minutes = controller
            .parts
            .runtime
            .idle_minutes(&controller.services.config);
        let Some(reason) = idle::reason(&controller.services, agent, minutes).await else {
            return;
        };
        match store::want_stopped_if(
            &self.controller.services.store,
            self.watched.identity,
            self.generation,
        )
        .await
        {
            Ok(true) => {
                self.show(|observed| observed.wanted = Wanted::Stopped);
                self.stop(&reason).await;
            }
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(container = %self.watched.identity.container, %error, "cannot be stopped")
            }
        }
    }

    async fn stop_as_asked(&mut self) {
        self.stop_with(None).await;
    }

    async fn stop(&mut self, reason: &str) {
        self.stop_with(Some(reason.to_owned())).await;
    }

    /// Ends the container in good order, then for sure.
    async fn stop_with(&mut self, reason: Option<String>) {
        if let Some((mut instance, agent)) = self.running.take() {
            self.show(|observed| observed.state = State::Stopping);
            // One that does not answer is not waited for longer than one that does not end.
            let asked = tokio::time::timeout(GRACE, agent.shutdown()).await;
            if matches!(asked, Ok(Ok(()))) {
                let _ = tokio::time::timeout(GRACE, instance.ended()).await;
            }
            self.controller
                .parts
                .agents
                .remove(self.watched.identity.container);
            if let Err(error) = self.controller.parts.runtime.kill(instance).await {
                let message = sentence(&error.to_string());
                self.show(|observed| {
                    observed.state = State::Failed;
                    observed.reason = Some(message);
                });
                self.write().await;
                return;
            }
        }
        self.show(|observed| {
            observed.state = State::Stopped;
            observed.reason = reason;
            observed.started_at_ms = None;
        });
        self.write().await;
    }

    async fn delete(&mut self) -> ControlFlow<()> {
        let who = self.watched.identity;
        self.stop("It is being deleted.").await;
        let removed = self
            .controller
            .parts
            .runtime
            .remove_volume(who.container)
            .await;
        let removed = match removed {
            Ok(()) => store::remove(&self.controller.services.store, who)
                .await
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match removed {
            Ok(()) => ControlFlow::Break(()),
            Err(error) => {
                tracing::warn!(container = %who.container, error, "cannot be deleted; trying again");
                ControlFlow::Continue(())
            }
        }
    }

    /// Waits for something to do; breaks when the server shuts down.
    async fn wait(&mut self) -> ControlFlow<()> {
        let until = match (self.running.is_some(), self.not_before) {
            (false, Some(time)) if !self.given_up => time.saturating_duration_since(Instant::now()),
            _ => Duration::from_secs(3600),
        };
        let ended = tokio::select! {
            biased;
            () = self.controller.services.shutdown.cancelled() => {
                let controller = self.controller;
                if controller.parts.runtime.stops_with_server(&controller.services.config) && self.running.is_some() {
                    self.stop("The server was stopped; the container comes back with it.").await;
                }
                return ControlFlow::Break(());
            }
            ended = ended(&mut self.running) => Some(ended),
            () = self.watched.look.notified() => None,
            () = tokio::time::sleep(until) => None,
        };
        if let Some(ended) = ended {
            self.lost(ended).await;
        }
        ControlFlow::Continue(())
    }

    fn memory_mib(&self, instance: &Instance) -> u64 {
        let config = &self.controller.services.config;
        self.controller.parts.runtime.memory_mib(instance, config)
    }

    fn show(&self, change: impl FnOnce(&mut Observed)) {
        self.watched.observed.send_modify(change);
    }

    async fn write(&self) {
        let observed = self.watched.observed.borrow().clone();
        write(self.controller, self.watched, observed).await;
    }
}

async fn ended(running: &mut Option<(Instance, Agent)>) -> Ended {
    match running {
        Some((instance, _)) => instance.ended().await,
        None => std::future::pending().await,
    }
}

/// Writes what a start does while it goes on, for those who follow it on another server. Never ends: what was begun last is
/// dropped when the start is over, and written again after it.
async fn write_on(controller: &Controller, watched: &Watched) {
    let mut changes = watched.observed.subscribe();
    loop {
        let observed = changes.borrow_and_update().clone();
        write(controller, watched, observed).await;
        if changes.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

async fn write(controller: &Controller, watched: &Watched, observed: Observed) {
    if let Err(error) =
        store::observe(&controller.services.store, watched.identity, &observed).await
    {
        tracing::warn!(container = %watched.identity.container, %error, "what was observed cannot be written");
    }
}

/// An error as a sentence.
fn sentence(text: &str) -> String {
    let mut out: String = text.chars().take(600).collect();
    // `isolation-unproven` is a word that programs look for; it stays as it is.
    if !out.starts_with("isolation-unproven")
        && let Some(first) = out.get(..1).map(str::to_uppercase)
    {
        out.replace_range(..1, &first);
    }
    if !out.ends_with('.') {
        out.push('.');
    }
    out
}
