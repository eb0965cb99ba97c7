//! `[kubernetes]`

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Config, RuntimeKind};

/// Containers as pods of a cluster. Read by `optidev controller`, and by servers whose `[runtime] kind` is `kubernetes`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// Marks what this installation made: a label's value, another one for each installation in a cluster.
    pub install: String,
    /// The namespace that OptiDev itself runs in.
    pub namespace: String,
    /// The Service in it under which agents reach the servers' port for agents.
    pub service: String,
    /// The Lease in it by which several controllers agree on one.
    pub lease: String,
    /// Labels of the servers' pods in it. Network policies let agents to and from these alone.
    pub web_labels: BTreeMap<String, String>,
    /// Where this server listens for agents; the Service's port is the same.
    pub listen: SocketAddr,
    /// The agents' own port.
    pub agent_port: u16,
    /// A kubeconfig file, for a controller outside of the cluster; inside it is told by its pod.
    pub kubeconfig: Option<PathBuf>,
    /// OptiDev's own image, from which the agent is copied.
    pub agent_image: String,
    /// The images that containers may use, each with a digest. The first is the default.
    pub images: Vec<String>,
    /// Take images without a digest: what they are can change under the same name. For trials.
    pub allow_tags: bool,
    /// `IfNotPresent`, `Always` or `Never`.
    pub image_pull_policy: String,
    /// Names of Secrets with registry credentials; they have to be in the containers' namespaces.
    pub image_pull_secrets: Vec<String>,
    /// StorageClass of the volumes; the cluster's default when not set.
    pub storage_class: Option<String>,
    /// RuntimeClass of the pods: gVisor, Kata.
    pub runtime_class: Option<String>,
    /// What the RuntimeClass adds to each pod, in thousandths of a core.
    pub overhead_cpu_milli: u32,
    /// The same in MiB of memory.
    pub overhead_memory_mib: u32,
    /// Labels of the nodes that containers run on.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that containers tolerate.
    pub tolerations: Vec<TolerationConfig>,
    /// Pod Security level of the containers' namespaces: `restricted`, or `baseline` where the cluster cannot do otherwise.
    pub pod_security_level: String,
    /// User and group of everything in a pod, from 10000 on.
    pub uid: u32,
    /// Whether pods share the node's user namespace; not said when not set. `false` needs nodes that have user namespaces.
    pub host_users: Option<bool>,
    /// Stopped containers give up their namespace after this many hours and keep their volume; 0 means never.
    pub free_namespaces_after_hours: u32,
    /// Stop a container after this many minutes without activity; 0 means never.
    pub idle_stop_minutes: u32,
    /// A start that takes longer is given up.
    pub start_timeout_seconds: u32,
    /// Where the controller answers `/healthz` and `/readyz`.
    pub health_listen: SocketAddr,
    /// More destinations that must not be reachable from a container, tried before anything starts in it. `host:port`
    /// addresses of what listens in your network.
    pub forbidden: Vec<SocketAddr>,
    /// What happens to starts when the last proof of isolation between pods failed.
    pub unproven_isolation: UnprovenIsolation,
    /// Who enforces network policies, to be shown with the proof; looked for when empty.
    pub enforcer: String,
    /// The class of containers that name none.
    pub default_class: String,
    /// Sizes of containers, by name.
    pub classes: BTreeMap<String, ClassConfig>,
}

/// What a failed proof means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnprovenIsolation {
    /// No container is started until a proof holds.
    Refuse,
    /// Containers are started all the same, if their own agents find nothing.
    StartContainersThatMayReachEachOther,
}

/// The size of a container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClassConfig {
    /// Thousandths of a core, kept for it.
    pub cpu_request_milli: u32,
    /// Thousandths of a core, at most.
    pub cpu_limit_milli: u32,
    /// Memory in MiB, kept for it and at most.
    pub memory_mib: u32,
    /// The node's disk in MiB, at most: the agent's copy and its log. What a container writes is in its volume.
    pub ephemeral_mib: u32,
    /// The volume in GiB, for home and `/tmp`; it grows and never shrinks.
    pub volume_gib: u32,
    /// Graphics processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuConfig>,
}

/// An extended resource.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GpuConfig {
    /// Such as `nvidia.com/gpu`.
    pub resource: String,
    /// How many.
    pub count: u32,
}

/// A toleration as in a pod's specification.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TolerationConfig {
    /// The taint's key.
    pub key: Option<String>,
    /// `Exists` or `Equal`.
    pub operator: Option<String>,
    /// The taint's value.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: Option<String>,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        let medium = ClassConfig {
            cpu_request_milli: 500,
            cpu_limit_milli: 2000,
            memory_mib: 4096,
            ephemeral_mib: 512,
            volume_gib: 20,
            gpu: None,
        };
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            install: String::new(),
            namespace: String::new(),
            service: "optidev-agents".to_owned(),
            lease: "optidev-controller".to_owned(),
            web_labels: BTreeMap::new(),
            listen: SocketAddr::new(any, 7444),
            agent_port: 7443,
            kubeconfig: None,
            agent_image: String::new(),
            images: Vec::new(),
            allow_tags: false,
            image_pull_policy: "IfNotPresent".to_owned(),
            image_pull_secrets: Vec::new(),
            storage_class: None,
            runtime_class: None,
            overhead_cpu_milli: 0,
            overhead_memory_mib: 0,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            pod_security_level: "restricted".to_owned(),
            uid: 10_000,
            host_users: None,
            free_namespaces_after_hours: 72,
            idle_stop_minutes: 240,
            start_timeout_seconds: 600,
            health_listen: SocketAddr::new(any, 8081),
            forbidden: Vec::new(),
            unproven_isolation: UnprovenIsolation::Refuse,
            enforcer: String::new(),
            default_class: "medium".to_owned(),
            classes: BTreeMap::from([("medium".to_owned(), medium)]),
        }
    }
}

impl KubernetesConfig {
    /// What cannot be together, as a sentence.
    pub(super) fn contradiction(&self, config: &Config) -> Option<String> {
        if config.runtime.kind != RuntimeKind::Kubernetes {
            return None;
        }
        for (key, value) in [
            ("install", &self.install),
            ("namespace", &self.namespace),
            ("agent_image", &self.agent_image),
        ] {
            if value.is_empty() {
                return Some(format!(
                    "[runtime] kind is \"kubernetes\" and [kubernetes] {key} is empty: set it. The Helm chart sets all of \
                     this section."
                ));
            }
        }
        if self.images.is_empty() {
            return Some(
                "[kubernetes] images is empty, so that no container could start: list the images that containers may use, \
                 each as name@sha256:<digest>."
                    .to_owned(),
            );
        }
        if !self.classes.contains_key(&self.default_class) {
            let known: Vec<&str> = self.classes.keys().map(String::as_str).collect();
            return Some(format!(
                "[kubernetes] default_class is {:?}, and [kubernetes.classes] has {}: name one of them.",
                self.default_class,
                known.join(", ")
            ));
        }
        None
    }
}
