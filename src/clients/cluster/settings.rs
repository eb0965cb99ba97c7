//! What an admin configures, in plain types.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Where agents find the server's enrolment and egress port.
#[derive(Debug, Clone)]
pub enum Server {
    /// An address. It must be of the pods that [`Settings::web_labels`] select: the policy lets nothing else through.
    Address(SocketAddr),
    /// A Service of the release namespace; its ClusterIP is looked up, since pods have no DNS.
    Service {
        /// Its name.
        name: String,
        /// The Service's port.
        port: u16,
    },
}

/// The size of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Shown to people.
    pub name: String,
    /// Thousandths of a core, kept for it.
    pub cpu_request_milli: u32,
    /// Thousandths of a core, at most.
    pub cpu_limit_milli: u32,
    /// Memory, kept for it and at most: a container that grows into memory that it was not given would be evicted.
    pub memory_mib: u32,
    /// The node's disk, at most: logs, and what comes with them. `/tmp` is in the volume.
    pub ephemeral_mib: u32,
    /// The home volume. A volume grows and never shrinks.
    pub volume_gib: u32,
    /// Graphics processors.
    pub gpu: Option<Gpu>,
}

/// An extended resource and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Such as `nvidia.com/gpu`.
    pub resource: String,
    /// How many.
    pub count: u32,
}

/// What a RuntimeClass adds to each pod, which the quota has to hold too.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overhead {
    /// Thousandths of a core.
    pub cpu_milli: u32,
    /// Memory.
    pub memory_mib: u32,
}

/// A toleration, as in a pod's specification.
#[derive(Debug, Clone, Default)]
pub struct Toleration {
    /// The taint's key; none means all, with `Exists`.
    pub key: Option<String>,
    /// `Exists` or `Equal`.
    pub operator: Option<String>,
    /// The taint's value.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: Option<String>,
}

/// What the probes of the isolation gate are made from.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The container's id.
    pub container: String,
    /// The one destination that must be reachable.
    pub server: SocketAddr,
    /// The API server, when its address is known: must not be reachable.
    pub api_server: Option<SocketAddr>,
}

/// Everything that this module needs to know.
#[derive(Clone)]
pub struct Settings {
    /// The installation's id, a label's value: tells two installations in one cluster apart.
    pub install: String,
    /// The namespace that OptiDev itself runs in.
    pub release_namespace: String,
    /// Labels of the web role's pods in it.
    pub web_labels: BTreeMap<String, String>,
    /// Where agents enrol and go out.
    pub server: Server,
    /// The port of the web role's pods behind `server`: policies match the pod's port, not the Service's.
    pub server_port: u16,
    /// The agent's one port.
    pub agent_port: u16,
    /// The image that holds the agent.
    pub agent_image: String,
    /// The install CA's certificate.
    pub authority_pem: String,
    /// Variables that the agent is given, and hands on to what it starts if it knows them.
    pub environment: BTreeMap<String, String>,
    /// Makes the probes of the isolation gate, as JSON.
    pub probes: Arc<dyn Fn(&Facts) -> String + Send + Sync>,
    /// The volumes' StorageClass; the cluster's default when none.
    pub storage_class: Option<String>,
    /// gVisor, Kata.
    pub runtime_class: Option<String>,
    /// What it adds to a pod.
    pub overhead: Overhead,
    /// Nodes that containers may run on.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that containers tolerate.
    pub tolerations: Vec<Toleration>,
    /// `IfNotPresent`, `Always` or `Never`.
    pub image_pull_policy: String,
    /// Secrets with registry credentials, by name. They have to be put into the containers' namespaces by somebody else.
    pub image_pull_secrets: Vec<String>,
    /// Pod Security level of the namespaces: `restricted`; `baseline` for clusters that cannot do otherwise.
    pub pod_security_level: String,
    /// User and group of everything in the pod, from 10000 on.
    pub uid: u32,
    /// Set: whether pods share the node's user namespace. `Some(false)` needs nodes that support user namespaces.
    pub host_users: Option<bool>,
    /// Whether images without a digest are taken: for trials.
    pub allow_tags: bool,
    /// Whether stopped containers may give up their namespace. Needs rights on PersistentVolumes, which are the
    /// cluster's; without, namespaces stay.
    pub free_namespaces: bool,
}

impl Settings {
    /// What cannot work, as a sentence.
    ///
    /// # Errors
    /// The sentence.
    pub fn check(&self) -> Result<(), String> {
        if !super::names::is_label_value(&self.install) {
            return Err(format!(
                "The installation's id {:?} cannot be a label's value.",
                self.install
            ));
        }
        if self.web_labels.is_empty() {
            // An empty selector selects every pod of the namespace.
            return Err("The labels of the web role's pods are missing.".to_owned());
        }
        if !(10_000..=65_535).contains(&self.uid) {
            return Err(format!(
                "The user id {} is not between 10000 and 65535.",
                self.uid
            ));
        }
        if !matches!(self.pod_security_level.as_str(), "restricted" | "baseline") {
            return Err(format!(
                "The Pod Security level {:?} is neither \"restricted\" nor \"baseline\".",
                self.pod_security_level
            ));
        }
        self.check_image(&self.agent_image)
    }

    /// Whether `image` may be used.
    ///
    /// # Errors
    /// A sentence that names the image and the remedy.
    pub fn check_image(&self, image: &str) -> Result<(), String> {
        let digest = image.rsplit_once("@sha256:").map(|(_, digest)| digest);
        let pinned = digest.is_some_and(|digest| {
            digest.len() == 64
                && digest
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        });
        let plain = !image.is_empty() && image.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && (pinned || self.allow_tags) {
            return Ok(());
        }
        Err(format!(
            "The image {image:?} has no digest, so that its content could change. Name it as image@sha256:<64 hex digits>."
        ))
    }
}

/// The address of a URL whose host is one.
pub(super) fn address(host: Option<&str>, port: Option<u16>) -> Option<SocketAddr> {
    let ip: IpAddr = host?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()?;
    Some(SocketAddr::new(ip, port.unwrap_or(443)))
}

#[cfg(test)]
mod tests {
    use super::super::objects::samples::settings;

    #[test]
    fn images_need_a_digest_except_for_trials() {
        let digest = "0123456789abcdef".repeat(4);
        let mut settings = settings();
        settings.allow_tags = false;
        assert!(
            settings
                .check_image(&format!("registry/dev@sha256:{digest}"))
                .is_ok()
        );
        for bad in [
            "registry/dev:latest".to_owned(),
            "registry/dev".to_owned(),
            String::new(),
            format!("registry/dev@sha256:{}", digest.to_uppercase()),
            format!("registry/dev@sha256:{digest}0"),
            format!("registry/dev @sha256:{digest}"),
        ] {
            let said = settings.check_image(&bad).unwrap_err();
            assert!(said.contains("@sha256:<64 hex digits>"), "{said}");
        }
        settings.allow_tags = true;
        assert!(settings.check_image("registry/dev:latest").is_ok());
        assert!(settings.check_image("").is_err());
    }

    #[test]
    fn settings_that_would_open_something_are_refused() {
        let good = settings();
        assert_eq!(good.check(), Ok(()));
        let mut bad = good.clone();
        bad.web_labels.clear();
        assert!(bad.check().is_err());
        let mut bad = good.clone();
        bad.uid = 0;
        assert!(bad.check().is_err());
        let mut bad = good.clone();
        bad.pod_security_level = "privileged".to_owned();
        assert!(bad.check().is_err());
    }
}
