//! The controller's loop: rows that servers wrote and things that changed in the cluster are looked at, one look at a time for
//! each container, and what was found is written back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Unseen};
use super::store::{self, pod};
use super::{settings, verify};
use crate::clients::cluster::{self, Change, Cluster, ClusterError, Observed, Phase, WantedState};
use crate::config::{KubernetesConfig, UnprovenIsolation};
use crate::features::containers::model::Wanted;
use crate::kernel::{Clock, ContainerId, Rng, SecretString};
use crate::metrics;
use crate::store::{Store, StoreError};

/// Between two looks for rows that servers wrote.
const POLL: Duration = Duration::from_millis(150);
/// Everything is looked at anew, whatever the watches say, spread over as long again.
const ALL: Duration = Duration::from_secs(300);
/// Looks at a time. Each makes a handful of calls.
const AT_ONCE: usize = 32;
/// Changes of one container within so long are one.
const TOGETHER: Duration = Duration::from_millis(30);
/// After an error: doubled each time, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(120));

/// What looks are made with. Cheap to clone.
#[derive(Clone)]
pub struct Keeper(Arc<Parts>);

pub(super) struct Parts {
    pub store: Store,
    pub cluster: Cluster,
    pub config: KubernetesConfig,
    pub clock: Clock,
    pub rng: Rng,
    /// Pods of the proof that is being made.
    pub proving: Mutex<HashSet<String>>,
    /// Tokens of attempts whose agent has not come yet. A controller that lost one makes another attempt.
    tokens: Mutex<HashMap<ContainerId, (i64, SecretString)>>,
    /// How often in a row a look failed.
    failures: Mutex<HashMap<ContainerId, u32>>,
}

/// Keeps all containers, and makes proofs of isolation, until it is told to stop. May be dropped at any point.
pub async fn keep(keeper: Keeper, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep_on(&keeper) => {}
        () = keeper.verify() => {}
    }
}

async fn keep_on(keeper: &Keeper) {
    let mut queue = Queue::default();
    let mut looks: JoinSet<(ContainerId, Option<Duration>)> = JoinSet::new();
    let mut changes = Box::pin(keeper.0.cluster.watch());
    let mut unseen = Unseen::default();
    let mut poll = tokio::time::interval(POLL);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut all = tokio::time::interval(ALL);
    loop {
        while looks.len() < AT_ONCE
            && let Some(id) = queue.take(Instant::now())
        {
            let keeper = keeper.clone();
            looks.spawn(async move { (id, keeper.look(id).await) });
        }
        metrics::queue(queue.len());
        let next = queue.next().filter(|_| looks.len() < AT_ONCE);
        tokio::select! {
            Some(done) = looks.join_next(), if !looks.is_empty() => match done {
                Ok((id, next)) => queue.done(id, next),
                Err(error) => {
                    // Whose it was is not known: all of them are looked at again.
                    tracing::error!(%error, "a look at a container panicked");
                    queue.forget_looks();
                    unseen = Unseen::default();
                    all.reset_immediately();
                }
            },
            Some(change) = changes.next() => match change {
                Change::One(id) => if let Ok(id) = id.parse() {
                    queue.at(id, Instant::now() + TOGETHER);
                },
                Change::All => keeper.spread(&mut queue, Duration::from_secs(5)).await,
            },
            _ = poll.tick() => match store::waiting(&keeper.0.store).await {
                Ok(rows) => for id in unseen.not_seen_before(rows.iter().map(|row| (row.container_id, row.changed))) {
                    queue.at(id, Instant::now());
                },
                Err(error) => tracing::warn!(%error, "the database does not say what is wanted; trying again"),
            },
            _ = all.tick() => {
                keeper.spread(&mut queue, ALL).await;
                keeper.stop_orphans().await;
            }
            () = tokio::time::sleep_until(next.unwrap_or_else(|| Instant::now() + ALL).into()) => {}
        }
    }
}

impl Keeper {
    /// What works on `cluster` for the rows of `store`.
    pub fn new(
        store: Store,
        cluster: Cluster,
        config: KubernetesConfig,
        clock: Clock,
        rng: Rng,
    ) -> Self {
        Self(Arc::new(Parts {
            store,
            cluster,
            config,
            clock,
            rng,
            proving: Mutex::default(),
            tokens: Mutex::default(),
            failures: Mutex::default(),
        }))
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// Looks at all, over this time.
    async fn spread(&self, queue: &mut Queue, over: Duration) {
        match store::all(&self.0.store).await {
            Ok(rows) => {
                let step = over / u32::try_from(rows.len().max(1)).unwrap_or(u32::MAX);
                let mut when = Instant::now();
                for row in rows {
                    queue.at(row.container_id, when);
                    when += step;
                }
            }
            Err(error) => tracing::warn!(%error, "containers cannot be read; trying again"),
        }
    }

    /// One look. Answers when the next is due, if anything but a change is a reason for one.
    async fn look(&self, id: ContainerId) -> Option<Duration> {
        match self.try_look(id).await {
            Ok(next) => {
                metrics::reconcile("ok");
                self.failures().remove(&id);
                next
            }
            Err(error) => {
                metrics::reconcile("failed");
                let failures = {
                    let mut all = self.failures();
                    let failures = all.entry(id).or_default();
                    *failures = failures.saturating_add(1);
                    *failures
                };
                let wait = (PAUSE.0 * 2_u32.saturating_pow(failures.min(16) - 1)).min(PAUSE.1);
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(container = %id, %error, cause, wait_ms = wait.as_millis(), "trying again");
                Some(wait)
            }
        }
    }

    async fn try_look(&self, id: ContainerId) -> Result<Option<Duration>, LookError> {
        let parts = &*self.0;
        let Some(mut row) = store::read(&parts.store, id).await? else {
            return Ok(None);
        };
        let (state, free_in) = match row.wanted() {
            Wanted::Running => match self.start(&mut row).await? {
                Wish::Start(start) => (WantedState::Running(start), None),
                Wish::Nothing => {
                    if row.seen != row.changed {
                        let same = known(&row);
                        store::observe(&parts.store, &row, &same, parts.clock.now_ms()).await?;
                    }
                    return Ok(None);
                }
                Wish::Impossible(why) => {
                    let observed = Observed::failed(Phase::Preparing, why);
                    self.write(&row, &observed).await?;
                    return Ok(None);
                }
                Wish::Changed => return Ok(Some(Duration::ZERO)),
            },
            Wanted::Stopped => {
                let left = self.kept_for(&row);
                let keep_namespace = left.is_none_or(|left| !left.is_zero());
                (WantedState::Stopped { keep_namespace }, left)
            }
            Wanted::Deleted => (WantedState::Deleted, None),
        };
        let wanted = cluster::Wanted {
            container: id.to_string(),
            workspace: row.workspace_id.to_string(),
            owner: row.owner_id.to_string(),
            state,
        };
        let observed = match parts.cluster.converge(&wanted).await {
            Ok(observed) => observed,
            Err(error @ ClusterError::Foreign { .. }) => {
                // Nobody is to be connected to what is not ours.
                let phase = match row.wanted() {
                    Wanted::Running => Phase::Unprotected,
                    Wanted::Stopped | Wanted::Deleted => Phase::Terminating,
                };
                let mut observed = Observed::failed(phase, error.to_string());
                observed.look_again = Some(PAUSE.1);
                observed
            }
            Err(error) => return Err(error.into()),
        };
        self.write(&row, &observed).await?;
        Ok(match (observed.look_again, free_in) {
            (Some(again), _) => Some(again),
            (None, Some(left)) if observed.phase == Phase::Stopped && !observed.freed => Some(left),
            (None, _) => None,
        })
    }

    /// What a container that is wanted running is to run as.
    async fn start(&self, row: &mut pod::Model) -> Result<Wish, StoreError> {
        let parts = &*self.0;
        let begun = row.attempt_for == row.asked;
        if begun && row.phase() == Some(Phase::Ended) {
            // It stays over until a server asks for another.
            return Ok(Wish::Nothing);
        }
        // What runs goes on as it is, guarded, whatever was taken off the lists since: they are for starts.
        let there = begun && row.is_enrolled();
        let classes = &parts.config.classes;
        let class = classes.get(&row.class);
        let class = class.or_else(|| classes.get(&parts.config.default_class).filter(|_| there));
        let Some(class) = class else {
            return Ok(Wish::Impossible(format!(
                "The class {:?} is not among the administrator's any more. Choose another one.",
                row.class
            )));
        };
        if !there && !parts.config.images.contains(&row.image) {
            return Ok(Wish::Impossible(format!(
                "The image {:?} is not among those that the administrator allows. Choose another one.",
                row.image
            )));
        }
        let token = if there {
            self.tokens().remove(&row.container_id);
            SecretString::new(String::new())
        } else {
            let mine = self
                .tokens()
                .get(&row.container_id)
                .filter(|(attempt, _)| begun && *attempt == row.attempt)
                .map(|(_, token)| token.duplicate());
            match mine {
                Some(token) => token,
                None => {
                    if let Some(why) = self.unproven().await? {
                        return Ok(Wish::Impossible(why));
                    }
                    let random: [u8; 32] = parts.rng.bytes();
                    let token = SecretString::new(URL_SAFE_NO_PAD.encode(random));
                    let digest = Sha256::digest(token.expose());
                    if !store::begin_attempt(&parts.store, row, &digest).await? {
                        return Ok(Wish::Changed);
                    }
                    row.attempt += 1;
                    row.attempt_for = row.asked;
                    self.tokens()
                        .insert(row.container_id, (row.attempt, token.duplicate()));
                    token
                }
            }
        };
        Ok(Wish::Start(Box::new(cluster::Start {
            number: u64::try_from(row.attempt).unwrap_or_default(),
            token,
            enrolled: row.is_enrolled(),
            class: settings::class(&row.class, class),
            image: row.image.clone(),
            work: cluster::Work::Agent,
        })))
    }

    /// Why no container is started, when the last proof of isolation failed.
    async fn unproven(&self) -> Result<Option<String>, StoreError> {
        if self.0.config.unproven_isolation != UnprovenIsolation::Refuse {
            return Ok(None);
        }
        let proof = verify::last_proof(&self.0.store).await?;
        Ok(proof.filter(|proof| !proof.proven).map(|proof| {
            let wrong = proof.found.tried.iter().filter(|tried| !tried.holds);
            let wrong: Vec<&str> = wrong.map(|tried| tried.name.as_str()).collect();
            let what = proof.found.problem.unwrap_or_else(|| wrong.join(", "));
            format!(
                "isolation-unproven: the last proof between pods failed ({what}), so that no container is started. See the \
                 containers' page, or `optidev verify isolation`"
            )
        }))
    }

    /// How much longer a stopped container keeps its namespace; none for ever.
    fn kept_for(&self, row: &pod::Model) -> Option<Duration> {
        let hours = self.0.config.free_namespaces_after_hours;
        let until = row.asked_at_ms + i64::from(hours) * 3_600_000;
        let left = u64::try_from(until - self.0.clock.now_ms()).unwrap_or_default();
        (hours > 0).then(|| Duration::from_millis(left))
    }

    async fn write(&self, row: &pod::Model, observed: &Observed) -> Result<(), StoreError> {
        let mut before = known(row);
        before.start = observed.start;
        before.look_again = observed.look_again;
        if before == *observed && row.seen == row.changed {
            return Ok(());
        }
        tracing::debug!(container = %row.container_id, attempt = row.attempt, phase = observed.phase.as_str(),
            step = observed.step.map(cluster::Step::as_str), reason = observed.reason, "observed");
        store::observe(&self.0.store, row, observed, self.0.clock.now_ms()).await
    }

    /// What the cluster holds and the database does not know is stopped. Its data stays: a database that was exchanged by
    /// mistake must not cost anyone their work.
    async fn stop_orphans(&self) {
        let (rows, known) = match (
            store::all(&self.0.store).await,
            self.0.cluster.known().await,
        ) {
            (Ok(rows), Ok(known)) => (rows, known),
            (Err(error), _) => {
                tracing::warn!(%error, "containers cannot be read; trying again");
                return;
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "the cluster does not say what it holds; trying again");
                return;
            }
        };
        let rows: HashSet<String> = rows
            .iter()
            .map(|row| row.container_id.to_string())
            .collect();
        for one in known {
            if rows.contains(&one.container) || self.is_proving(&one.container) {
                continue;
            }
            // A proof that a killed controller left has nothing to keep.
            let state = if one.owner == verify::MARK {
                WantedState::Deleted
            } else {
                WantedState::Stopped {
                    keep_namespace: false,
                }
            };
            tracing::warn!(
                container = one.container,
                "no database row asks for it; it is stopped, and its volume is kept"
            );
            let wanted = cluster::Wanted {
                container: one.container,
                workspace: one.workspace,
                owner: one.owner,
                state,
            };
            // One step; the next look at all takes the next.
            if let Err(error) = self.0.cluster.converge(&wanted).await {
                tracing::warn!(container = wanted.container, %error, "it cannot be stopped; trying again");
            }
        }
    }

    fn is_proving(&self, container: &str) -> bool {
        let proving = self.0.proving.lock();
        proving
            .unwrap_or_else(PoisonError::into_inner)
            .contains(container)
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerId, (i64, SecretString)>> {
        self.0.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerId, u32>> {
        self.0
            .failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a container that is wanted running asks of the cluster.
enum Wish {
    Start(Box<cluster::Start>),
    /// It is over, or waits for a server.
    Nothing,
    /// Why not.
    Impossible(String),
    /// A server asked for something else meanwhile.
    Changed,
}

/// Why a look was not finished.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("the cluster: {0}")]
    Cluster(#[from] ClusterError),
    #[error("the database: {0}")]
    Store(#[from] StoreError),
}

/// What a row says was observed.
fn known(row: &pod::Model) -> Observed {
    let mut observed = Observed::failed(row.phase().unwrap_or(Phase::Preparing), String::new());
    observed.step = row.step.as_deref().and_then(cluster::Step::from_word);
    observed.ip = row.ip.as_deref().and_then(|ip| ip.parse().ok());
    observed.pod_uid.clone_from(&row.pod_uid);
    observed.reason.clone_from(&row.reason);
    observed.permanent = row.permanent;
    observed.out_of_memory = row.out_of_memory;
    observed.freed = row.freed;
    observed
}
