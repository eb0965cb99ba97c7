//! Who leads: one Lease, as client-go does it (15 s, 10 s, 2 s).
//!
//! Times are measured from when this process *saw* a record change, never read from the record: clocks may differ. A leader
//! counts its time from before it *sent* the renewal, another candidate from after it saw it. So the leader stops at 10 s,
//! its last call is over at 14 s ([`super::call::LIMIT`]), and nobody else begins before 15 s.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;

use super::names::{MANAGED_BY, MANAGER, OPTIDEV};
use super::{Cluster, ClusterError};

/// How an election is held.
#[derive(Debug, Clone)]
pub struct Election {
    /// The Lease's name, in the release namespace.
    pub lease: String,
    /// This process: the pod's name and something random, so that a restarted one is another.
    pub identity: String,
    /// Milliseconds since 1970, for people who read the Lease.
    pub now_ms: fn() -> i64,
    /// After this long without a renewal, another may lead.
    pub duration: Duration,
    /// After this long without a renewal, the leader stops.
    pub deadline: Duration,
    /// Between tries.
    pub retry: Duration,
}

impl Election {
    /// With client-go's times.
    #[must_use]
    pub fn new(lease: &str, identity: &str, now_ms: fn() -> i64) -> Self {
        Self {
            lease: lease.to_owned(),
            identity: identity.to_owned(),
            now_ms,
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// How leading ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The work came to its end; the Lease was given back.
    Done(T),
    /// The Lease was lost, or could not be renewed in time; the work was dropped.
    Lost,
}

/// A proof of leading that runs out by itself: asked before each change.
#[derive(Debug, Clone)]
pub struct Leadership(Held);

#[derive(Debug, Clone)]
enum Held {
    Always,
    Until(watch::Receiver<Instant>),
    Steps(Arc<AtomicUsize>),
}

impl Leadership {
    /// Without an election: tests, and installations with one controller.
    #[must_use]
    pub fn always() -> Self {
        Self(Held::Always)
    }

    /// For this many changes: what a controller that is killed leaves behind.
    #[must_use]
    pub fn for_steps(steps: usize) -> Self {
        Self(Held::Steps(Arc::new(AtomicUsize::new(steps))))
    }

    /// Whether a change may be sent now.
    pub(super) fn pass(&self) -> bool {
        match &self.0 {
            Held::Steps(left) => left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok(),
            _ => self.is_held(),
        }
    }

    /// Whether this process leads.
    #[must_use]
    pub fn is_held(&self) -> bool {
        match &self.0 {
            Held::Always => true,
            Held::Until(deadline) => Instant::now() < *deadline.borrow(),
            Held::Steps(left) => left.load(Ordering::Relaxed) > 0,
        }
    }
}

impl Cluster {
    /// Waits until this process leads, then runs `work` and renews beside it. The work is dropped when leading ends, and
    /// [`Cluster::led_by`] refuses to change anything from then on, for whatever outlives the work. To stop in good order,
    /// let the work end. While waiting, this may be dropped.
    ///
    /// # Errors
    /// [`ClusterError`] when waiting cannot lead anywhere: the Lease may not be read or written.
    pub async fn elect<F, T, W>(
        &self,
        election: &Election,
        work: W,
    ) -> Result<Outcome<T>, ClusterError>
    where
        W: FnOnce(Leadership) -> F,
        F: Future<Output = T>,
    {
        let mut candidate = Candidate {
            leases: self.api(&self.settings.release_namespace),
            election,
            cluster: self,
            seen: None,
        };
        let (mut lease, since) = loop {
            match candidate.take().await {
                Ok(Some(taken)) => break taken,
                Ok(None) => {}
                Err(error) if error.is_permanent() => return Err(error),
                Err(error) => tracing::warn!(%error, "the Lease cannot be taken; trying again"),
            }
            tokio::time::sleep(election.retry).await;
        };
        tracing::info!(identity = election.identity, "leads");
        let (renewed, until) = watch::channel(since + election.deadline);
        let work = work(Leadership(Held::Until(until)));
        let outcome = tokio::select! {
            biased;
            () = candidate.renew(&mut lease, &renewed) => Outcome::Lost,
            done = work => Outcome::Done(done),
        };
        // Whoever kept the proof keeps nothing.
        renewed.send_replace(since);
        match outcome {
            Outcome::Lost => tracing::warn!(identity = election.identity, "does not lead any more"),
            Outcome::Done(_) => candidate.give_back(lease).await,
        }
        Ok(outcome)
    }
}

struct Candidate<'a> {
    leases: Api<Lease>,
    election: &'a Election,
    cluster: &'a Cluster,
    /// The record that was seen last, and since when.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate<'_> {
    /// One try. Answers the Lease and the time from which it counts.
    async fn take(&mut self) -> Result<Option<(Lease, Instant)>, ClusterError> {
        let election = self.election;
        let sent = Instant::now();
        let how = how();
        let Some(mut lease) = self.cluster.find(&self.leases, &election.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(election.lease.clone()),
                    labels: Some([(MANAGED_BY.to_owned(), OPTIDEV.to_owned())].into()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.record(None)),
            };
            return self.won(self.leases.create(&how, &lease), sent).await;
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        match &self.seen {
            Some((seen, _)) if *seen == spec => {}
            _ => self.seen = Some((spec.clone(), Instant::now())),
        }
        let theirs = spec
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(election.duration, Duration::from_secs);
        let free = holder.is_empty()
            || holder == election.identity
            || self
                .seen
                .as_ref()
                .is_some_and(|(_, since)| since.elapsed() > theirs.max(election.duration));
        if !free {
            return Ok(None);
        }
        lease.spec = Some(self.record(Some(&spec)));
        self.won(self.leases.replace(&election.lease, &how, &lease), sent)
            .await
    }

    /// Whether a write made this process the holder. Another one may have been faster.
    async fn won(
        &self,
        write: impl Future<Output = Result<Lease, kube::Error>>,
        sent: Instant,
    ) -> Result<Option<(Lease, Instant)>, ClusterError> {
        match self.cluster.read("taking the Lease", write).await {
            Ok(lease) => Ok(Some((lease, sent))),
            Err(ClusterError::Call { source, .. }) if is_conflict(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Renews until that is lost.
    async fn renew(&self, lease: &mut Lease, renewed: &watch::Sender<Instant>) {
        let (election, how) = (self.election, how());
        loop {
            tokio::time::sleep(election.retry).await;
            let sent = Instant::now();
            if sent >= *renewed.borrow() {
                return;
            }
            lease.spec = Some(self.record(lease.spec.as_ref()));
            let write = self.leases.replace(&election.lease, &how, lease);
            match self.cluster.read("renewing the Lease", write).await {
                Ok(written) => {
                    *lease = written;
                    renewed.send_replace(sent + election.deadline);
                }
                Err(ClusterError::Call { source, .. }) if is_conflict(&source) => {
                    // Ours, when an answer was lost; else somebody else's.
                    let now = self.cluster.find(&self.leases, &election.lease).await;
                    match now {
                        Ok(Some(now)) if holder(&now) == Some(&election.identity) => *lease = now,
                        Ok(_) => return,
                        Err(error) => tracing::warn!(%error, "the Lease cannot be read"),
                    }
                }
                Err(error) => tracing::warn!(%error, "the Lease was not renewed; trying again"),
            }
            if Instant::now() >= *renewed.borrow() {
                return;
            }
        }
    }

    /// Lets the next one lead at once.
    async fn give_back(&self, mut lease: Lease) {
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        let how = how();
        let write = self.leases.replace(&self.election.lease, &how, &lease);
        if let Err(error) = self.cluster.read("giving the Lease back", write).await {
            tracing::info!(%error, "the Lease was not given back; it runs out by itself");
        }
    }

    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let election = self.election;
        let now = Timestamp::from_millisecond((election.now_ms)())
            .ok()
            .map(MicroTime);
        let same = before.and_then(|before| before.holder_identity.as_deref())
            == Some(election.identity.as_str());
        let transitions = before
            .and_then(|before| before.lease_transitions)
            .unwrap_or(0);
        LeaseSpec {
            acquire_time: if same {
                before.and_then(|before| before.acquire_time.clone())
            } else {
                now.clone()
            },
            holder_identity: Some(election.identity.clone()),
            lease_duration_seconds: i32::try_from(election.duration.as_secs()).ok(),
            lease_transitions: Some(transitions.saturating_add(i32::from(!same))),
            renew_time: now,
            ..LeaseSpec::default()
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref()
}

fn how() -> PostParams {
    PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    }
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_a_former_leader_ends_before_another_can_lead() {
        let election = Election::new("l", "a", || 0);
        assert!(election.deadline + super::super::call::LIMIT < election.duration);
        assert!(election.retry * 2 < election.deadline);
    }

    #[test]
    fn leadership_runs_out_by_itself() {
        let now = Instant::now();
        let (renewed, until) = watch::channel(now + Duration::from_secs(60));
        let held = Leadership(Held::Until(until));
        assert!(held.pass());
        renewed.send_replace(now);
        assert!(!held.pass());
        drop(renewed);
        assert!(!held.pass());
        let two = Leadership::for_steps(2);
        assert_eq!(
            [two.pass(), two.clone().pass(), two.pass()],
            [true, true, false]
        );
    }
}
