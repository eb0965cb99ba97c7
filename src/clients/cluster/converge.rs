//! One look: what is there, against what is wanted; stopping and deleting.

use std::time::Duration;

use futures_util::future::try_join;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Secret};

use super::names::{CLAIM, ENROLMENT, POD, is_label_value, namespace_of};
use super::objects::Of;
use super::reasons;
use super::volume::Kept;
use super::{Cluster, ClusterError, Observed, Phase, Step, Wanted, WantedState};

/// Until the next look at something that is being removed, when the watch says nothing.
pub const REMOVING: Duration = Duration::from_millis(700);
/// Until the next look at what was refused and may be allowed later: what refuses it, such as an administrator's quota, is not
/// watched.
const REFUSED: Duration = Duration::from_secs(20);
/// Marks in memory that a container has no Secret at all.
const NO_SECRET: u64 = u64::MAX;

impl Cluster {
    /// One level-triggered look: acts on the difference, and says what there is. May be repeated and may be cut off
    /// between any two calls. Whoever calls waits between looks, and longer after errors.
    ///
    /// Nobody may be connected to the container unless the answer holds an address; an error means the same as
    /// [`Phase::Unprotected`] when it is [`ClusterError::Foreign`].
    ///
    /// # Errors
    /// [`ClusterError`]. What the API refuses comes back as [`Observed::reason`], not as an error.
    pub async fn converge(&self, wanted: &Wanted) -> Result<Observed, ClusterError> {
        let namespace = namespace_of(&wanted.container).ok_or_else(|| {
            ClusterError::Setting(format!("{:?} is no container's id", wanted.container))
        })?;
        for id in [&wanted.workspace, &wanted.owner] {
            if !is_label_value(id) {
                return Err(ClusterError::Setting(format!("{id:?} is no id")));
            }
        }
        let of = Of {
            settings: &self.settings,
            labels: &self.labels,
            wanted,
            namespace: &namespace,
        };
        let (looked, waiting) = match &wanted.state {
            WantedState::Running(start) => (self.run(of, start).await, Phase::Preparing),
            WantedState::Stopped { keep_namespace } => {
                (self.stop(of, *keep_namespace).await, Phase::Terminating)
            }
            WantedState::Deleted => (self.delete(of).await, Phase::Terminating),
        };
        match looked {
            Err(ClusterError::Refused { step, refusal }) => {
                let mut observed = Observed::at(waiting, Some(step)).because(refusal.reason);
                observed.permanent = refusal.permanent;
                let later = (!refusal.permanent).then_some(REFUSED);
                observed.look_again = refusal.soon.or(later);
                Ok(observed)
            }
            other => other,
        }
    }

    /// The namespace, if it is there and ours.
    pub(super) fn ours(
        &self,
        namespace: Option<Namespace>,
        of: Of<'_>,
    ) -> Result<Option<Namespace>, ClusterError> {
        match namespace {
            Some(namespace)
                if self.labels.owned(&namespace.metadata).as_deref()
                    == Some(&of.wanted.container) =>
            {
                Ok(Some(namespace))
            }
            Some(_) => Err(ClusterError::Foreign {
                kind: "Namespace",
                name: of.namespace.to_owned(),
            }),
            None => Ok(None),
        }
    }

    /// No pod, no Secret; the volume stays, the namespace if wanted.
    async fn stop(&self, of: Of<'_>, keep_namespace: bool) -> Result<Observed, ClusterError> {
        let pods = self.api::<Pod>(of.namespace);
        let spaces = self.all::<Namespace>();
        let (namespace, pod) =
            try_join(self.find(&spaces, of.namespace), self.find(&pods, POD)).await?;
        let Some(namespace) = self.ours(namespace, of)? else {
            self.forget(&of.wanted.container);
            let mut observed = Observed::at(Phase::Stopped, None);
            observed.freed = true;
            return Ok(observed);
        };
        if namespace.metadata.deletion_timestamp.is_some() {
            return Ok(removing(&namespace));
        }
        if let Some(pod) = pod {
            return self.end(of, &pod).await;
        }
        if keep_namespace || !self.settings.free_namespaces {
            self.drop_secret(of).await?;
            return Ok(Observed::at(Phase::Stopped, None));
        }
        let claim = self
            .find(&self.api::<PersistentVolumeClaim>(of.namespace), CLAIM)
            .await?;
        match self.keep(of, claim).await? {
            Kept::Yes => {}
            Kept::NotYet => {
                return Ok(Observed::at(Phase::Stopped, Some(Step::Volume)).again(REMOVING));
            }
        }
        self.remove(
            Step::Namespace,
            &spaces,
            of.namespace,
            namespace.metadata.uid.as_deref(),
        )
        .await?;
        Ok(Observed::at(Phase::Terminating, Some(Step::Namespace)).again(REMOVING))
    }

    /// Nothing stays.
    async fn delete(&self, of: Of<'_>) -> Result<Observed, ClusterError> {
        let spaces = self.all::<Namespace>();
        let namespace = self.find(&spaces, of.namespace).await?;
        let Some(namespace) = self.ours(namespace, of)? else {
            // The volume last: as long as the namespace is there, its claim holds it.
            self.forget(&of.wanted.container);
            return Ok(if self.dispose(&of.wanted.container).await? {
                Observed::at(Phase::Gone, None)
            } else {
                Observed::at(Phase::Terminating, Some(Step::Volume)).again(REMOVING)
            });
        };
        if namespace.metadata.deletion_timestamp.is_none() {
            self.remove(
                Step::Namespace,
                &spaces,
                of.namespace,
                namespace.metadata.uid.as_deref(),
            )
            .await?;
        }
        Ok(removing(&namespace))
    }

    /// Deletes a pod, unless that is under way.
    pub(super) async fn end(&self, of: Of<'_>, pod: &Pod) -> Result<Observed, ClusterError> {
        if !self.labels.are_on(&pod.metadata, &of.wanted.container) {
            return Err(ClusterError::Foreign {
                kind: "Pod",
                name: format!("{}/{POD}", of.namespace),
            });
        }
        if pod.metadata.deletion_timestamp.is_none() {
            let pods = self.api::<Pod>(of.namespace);
            self.remove(Step::Pod, &pods, POD, pod.metadata.uid.as_deref())
                .await?;
        }
        let mut observed = Observed::at(Phase::Terminating, Some(Step::Pod)).again(REMOVING);
        observed.pod_uid.clone_from(&pod.metadata.uid);
        observed.start = reasons::start_of(pod);
        Ok(observed)
    }

    /// The Secret cannot be looked for, since no Secret can be read: it is deleted once in each life of a controller.
    async fn drop_secret(&self, of: Of<'_>) -> Result<(), ClusterError> {
        let container = &of.wanted.container;
        if self.remember(|memory| memory.bare.get(container) == Some(&NO_SECRET)) {
            return Ok(());
        }
        let secrets = self.api::<Secret>(of.namespace);
        self.remove(Step::Enrolment, &secrets, ENROLMENT, None)
            .await?;
        self.remember(|memory| memory.bare.insert(container.clone(), NO_SECRET));
        Ok(())
    }

    fn forget(&self, container: &str) {
        self.remember(|memory| {
            memory.bare.remove(container);
            memory.unprotected.remove(container);
        });
    }
}

/// A namespace that goes, and what holds it up.
pub fn removing(namespace: &Namespace) -> Observed {
    let mut observed = Observed::at(Phase::Terminating, Some(Step::Namespace)).again(REMOVING);
    observed.reason = reasons::namespace(namespace);
    observed
}
