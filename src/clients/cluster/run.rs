//! A start, step by step, each looked at before the next.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::{try_join, try_join3};
use k8s_openapi::api::core::v1::{
    Event, LimitRange, Namespace, PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ListParams, PostParams};
use serde_json::Value;

use super::converge::removing;
use super::names::{CLAIM, MANAGER, OWNER, POD, QUOTA};
use super::objects::{self, Of};
use super::settings::{Facts, Server};
use super::{Cluster, ClusterError, Observed, Phase, Start, Step, reasons};

/// A ClusterIP does not change while its Service lives; a Service made anew is found after this time.
const SERVER_KNOWN: Duration = Duration::from_secs(60);
/// Some things that hold up a start are told by events only, which are not watched.
const SLOW: Duration = Duration::from_secs(5);

/// What there is of a container.
pub(super) struct Found {
    namespace: Option<Namespace>,
    pub policies: Vec<NetworkPolicy>,
    quota: Option<ResourceQuota>,
    limits: Option<LimitRange>,
    claim: Option<PersistentVolumeClaim>,
    pub pod: Option<Pod>,
}

impl Cluster {
    /// Makes the container run by this start.
    pub(super) async fn run(&self, of: Of<'_>, start: &Start) -> Result<Observed, ClusterError> {
        let mut found = self.look(of).await?;
        let namespace = self.ours(found.namespace.take(), of)?;
        if let Some(namespace) = &namespace
            && namespace.metadata.deletion_timestamp.is_some()
        {
            return Ok(removing(namespace));
        }
        let named = self.make_namespace(of, namespace).await;
        if found.pod.is_none() {
            named?;
            if start.enrolled {
                return Ok(reasons::vanished(start.number));
            }
            return self.begin(of, start, found).await;
        }
        if let Some(unprotected) = self.guard(of, &found).await? {
            return Ok(unprotected);
        }
        let Some(pod) = found.pod.take() else {
            return Ok(reasons::vanished(start.number));
        };
        let over = pod.metadata.deletion_timestamp.is_some();
        let current = reasons::start_of(&pod) == Some(start.number);
        if over && current && start.enrolled {
            return Ok(reasons::removed(&pod));
        }
        if over || !current {
            return self.end(of, &pod).await;
        }
        let repaired = match named {
            Ok(()) => self.repair(of, start, &mut found).await,
            failed => failed,
        };
        let mut observed = self.observe(of, &pod).await?;
        match repaired {
            // It runs all the same; that it cannot grow, or has another quota, is worth saying.
            Err(ClusterError::Refused { refusal, .. }) => {
                observed.reason.get_or_insert(refusal.reason);
            }
            other => other?,
        }
        Ok(observed)
    }

    /// Everything that a pod needs, and then the pod.
    async fn begin(
        &self,
        of: Of<'_>,
        start: &Start,
        mut found: Found,
    ) -> Result<Observed, ClusterError> {
        for image in [&self.settings.agent_image, &start.image] {
            if let Err(why) = self.settings.check_image(image) {
                let mut observed = Observed::at(Phase::Preparing, Some(Step::Pod)).because(why);
                observed.permanent = true;
                return Ok(observed);
            }
        }
        if let Some(open) = self.guard(of, &found).await? {
            return Ok(open);
        }
        self.bound_use(of, start, &found).await?;
        if start.work.keeps()
            && let Some(waiting) = self.volume(of, start, found.claim.take()).await?
        {
            return Ok(waiting);
        }
        let server = self.server().await?;
        self.enrol(of, start, server).await?;
        let pods = self.api::<Pod>(of.namespace);
        let pod = self
            .apply(Step::Pod, &pods, objects::pod(of, start, server), None)
            .await?;
        self.observe(of, &pod).await
    }

    /// What somebody may have changed beside a running pod, and the token that it does not need any more.
    async fn repair(
        &self,
        of: Of<'_>,
        start: &Start,
        found: &mut Found,
    ) -> Result<(), ClusterError> {
        self.bound_use(of, start, found).await?;
        if let Some(claim) = found.claim.take() {
            self.volume(of, start, Some(claim)).await?;
        }
        let container = &of.wanted.container;
        if start.enrolled
            && !self.remember(|memory| memory.bare.get(container) == Some(&start.number))
        {
            let server = self.server().await?;
            self.enrol(of, start, server).await?;
        }
        Ok(())
    }

    async fn look(&self, of: Of<'_>) -> Result<Found, ClusterError> {
        let policies = self.api::<NetworkPolicy>(of.namespace);
        // All of them: policies add up, and one that is not ours may allow more.
        let every = ListParams::default();
        let ((namespace, policies, pod), (quota, limits, claim)) = try_join(
            try_join3(
                self.find(&self.all(), of.namespace),
                self.read("listing NetworkPolicies", policies.list(&every)),
                self.find(&self.api(of.namespace), POD),
            ),
            try_join3(
                self.find(&self.api(of.namespace), QUOTA),
                self.find(&self.api(of.namespace), QUOTA),
                self.find(&self.api(of.namespace), CLAIM),
            ),
        )
        .await?;
        Ok(Found {
            namespace,
            policies: policies.items,
            quota,
            limits,
            claim,
            pod,
        })
    }

    async fn make_namespace(
        &self,
        of: Of<'_>,
        there: Option<Namespace>,
    ) -> Result<(), ClusterError> {
        let wanted = objects::namespace(of);
        let spaces = self.all::<Namespace>();
        match there {
            Some(there) if holds(&there.metadata, &wanted) => {}
            Some(there) => {
                self.apply(
                    Step::Namespace,
                    &spaces,
                    wanted,
                    there.metadata.uid.as_deref(),
                )
                .await?;
            }
            None => {
                // Created and not applied: applying would adopt what somebody else made in between.
                let how = PostParams {
                    field_manager: Some(MANAGER.to_owned()),
                    ..PostParams::default()
                };
                let object: Namespace = typed(wanted)?;
                self.write(
                    Step::Namespace,
                    "creating the namespace",
                    spaces.create(&how, &object),
                )
                .await?;
            }
        }
        Ok(())
    }

    /// Quota and limits.
    async fn bound_use(
        &self,
        of: Of<'_>,
        start: &Start,
        found: &Found,
    ) -> Result<(), ClusterError> {
        let quota = objects::quota(of, &start.class);
        let limits = objects::limits(of, &start.class);
        let quotas = self.api::<ResourceQuota>(of.namespace);
        let ranges = self.api::<LimitRange>(of.namespace);
        let first = async {
            self.own_uid(
                of,
                "ResourceQuota",
                found.quota.as_ref().map(|quota| &quota.metadata),
            )?;
            match &found.quota {
                Some(there) if same(&there.spec, &quota) => Ok(()),
                Some(there) => self
                    .put_right(Step::Quota, &quotas, there, &quota)
                    .await
                    .map(drop),
                None => self
                    .apply(Step::Quota, &quotas, quota, None)
                    .await
                    .map(drop),
            }
        };
        let second = async {
            self.own_uid(
                of,
                "LimitRange",
                found.limits.as_ref().map(|range| &range.metadata),
            )?;
            match &found.limits {
                Some(there) if same(&there.spec, &limits) => Ok(()),
                Some(there) => self
                    .put_right(Step::Quota, &ranges, there, &limits)
                    .await
                    .map(drop),
                None => self
                    .apply(Step::Quota, &ranges, limits, None)
                    .await
                    .map(drop),
            }
        };
        try_join(first, second).await.map(drop)
    }

    fn checked(&self, of: Of<'_>, meta: &ObjectMeta) -> bool {
        self.labels.are_on(meta, &of.wanted.container)
    }

    /// The uid of an object that is there, if it is ours to change.
    pub(super) fn own_uid<'a>(
        &self,
        of: Of<'_>,
        kind: &'static str,
        there: Option<&'a ObjectMeta>,
    ) -> Result<Option<&'a str>, ClusterError> {
        match there {
            None => Ok(None),
            Some(meta) if self.checked(of, meta) => Ok(meta.uid.as_deref()),
            Some(meta) => Err(ClusterError::Foreign {
                kind,
                name: format!(
                    "{}/{}",
                    of.namespace,
                    meta.name.as_deref().unwrap_or_default()
                ),
            }),
        }
    }

    /// The Secret: with the token before the pod is made, without once the agent has enrolled.
    async fn enrol(
        &self,
        of: Of<'_>,
        start: &Start,
        server: SocketAddr,
    ) -> Result<(), ClusterError> {
        let container = &of.wanted.container;
        let facts = self.facts_with(container, server);
        let secrets = self.api::<Secret>(of.namespace);
        self.remember(|memory| memory.bare.remove(container));
        let made = objects::enrolment(of, start, &facts);
        self.apply(Step::Enrolment, &secrets, made, None).await?;
        if start.enrolled {
            self.remember(|memory| memory.bare.insert(container.clone(), start.number));
        }
        Ok(())
    }

    /// What the probes of a container are made from.
    ///
    /// # Errors
    /// [`ClusterError`] when the servers' Service cannot be found.
    pub async fn facts(&self, container: &str) -> Result<Facts, ClusterError> {
        Ok(self.facts_with(container, self.server().await?))
    }

    fn facts_with(&self, container: &str, server: SocketAddr) -> Facts {
        Facts {
            container: container.to_owned(),
            server,
            api_server: self.api_server,
        }
    }

    /// Where the agent finds the server.
    async fn server(&self) -> Result<SocketAddr, ClusterError> {
        let (name, port) = match &self.settings.server {
            Server::Address(address) => return Ok(*address),
            Server::Service { name, port } => (name, *port),
        };
        let known = self.remember(|memory| memory.server);
        if let Some((address, since)) = known
            && since.elapsed() < SERVER_KNOWN
        {
            return Ok(address);
        }
        let services = self.api::<Service>(&self.settings.release_namespace);
        let service = self.find(&services, name).await?;
        let ip = service
            .and_then(|service| service.spec?.cluster_ip)
            .and_then(|ip| ip.parse().ok())
            .ok_or_else(|| {
                ClusterError::Setting(format!(
                    "The Service \"{name}\" of the namespace \"{}\" is not there or has no ClusterIP, so that agents \
                     could not find the server.",
                    self.settings.release_namespace
                ))
            })?;
        let address = SocketAddr::new(ip, port);
        self.remember(|memory| memory.server = Some((address, Instant::now())));
        Ok(address)
    }

    async fn observe(&self, of: Of<'_>, pod: &Pod) -> Result<Observed, ClusterError> {
        let mut observed = reasons::pod(pod);
        let starting = matches!(
            observed.phase,
            Phase::Scheduling | Phase::Pulling | Phase::Starting
        );
        if !starting {
            return Ok(observed);
        }
        if observed.step == Some(Step::Mount)
            && observed.reason.is_none()
            && let Some(uid) = &pod.metadata.uid
        {
            let events = self.api::<Event>(of.namespace);
            let of_pod = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
            // Only to say more: a start does not fail because events cannot be read.
            match self.read("listing events", events.list(&of_pod)).await {
                Ok(events) => observed.reason = reasons::events(&events.items),
                Err(error) => tracing::debug!(%error, "no events"),
            }
        }
        Ok(observed.again(SLOW))
    }
}

/// Whether labels and the owner's mark are as wanted.
fn holds(meta: &ObjectMeta, wanted: &Value) -> bool {
    let labels = wanted
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    let owner = wanted
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(OWNER));
    labels.is_some_and(|labels| {
        labels
            .iter()
            .all(|(key, value)| super::names::label(meta, key) == value.as_str())
    }) && owner.and_then(Value::as_str) == super::names::annotation(meta, OWNER)
}

/// Whether a specification is the wanted object's.
pub(super) fn same(spec: &impl serde::Serialize, wanted: &Value) -> bool {
    serde_json::to_value(spec).is_ok_and(|spec| wanted.get("spec") == Some(&spec))
}

/// A value as a type of the API.
fn typed<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, ClusterError> {
    serde_json::from_value(value)
        .map_err(|error| ClusterError::Setting(format!("an object cannot be made: {error}")))
}
