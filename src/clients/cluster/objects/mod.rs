//! The objects of a container, as pure functions from settings and what is wanted. Each says all of what is in it, in the
//! spelling in which the API gives it back, so that a changed one is seen by comparing.

mod pod;
mod policies;
#[cfg(test)]
pub mod samples;

pub use pod::{OTHER_PORT, pod};
pub use policies::{allow, deny};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::model::{Start, Wanted, Work};
use super::names::{CLAIM, ENROLMENT, OWNER, QUOTA};
use super::settings::{Class, Settings};
use super::{Facts, Labels};

/// What every object is made from.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    /// The installation.
    pub settings: &'a Settings,
    /// Its marks.
    pub labels: &'a Labels,
    /// The container.
    pub wanted: &'a Wanted,
    /// Its namespace.
    pub namespace: &'a str,
}

impl Of<'_> {
    /// `metadata` of an object in the container's namespace.
    fn meta(&self, name: &str) -> Value {
        json!({
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels.of(&self.wanted.container, &self.wanted.workspace),
        })
    }
}

/// The namespace, with Pod Security and the owner's mark.
pub fn namespace(of: Of<'_>) -> Value {
    let mut labels = of.labels.of(&of.wanted.container, &of.wanted.workspace);
    for mode in ["enforce", "audit", "warn"] {
        labels.insert(
            format!("pod-security.kubernetes.io/{mode}"),
            of.settings.pod_security_level.clone(),
        );
    }
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": of.namespace,
            "labels": labels,
            "annotations": { OWNER: of.wanted.owner },
        },
    })
}

/// What all of the namespace may use: one pod of this class, one volume, nothing that listens for the cluster.
pub fn quota(of: Of<'_>, class: &Class) -> Value {
    let over = of.settings.overhead;
    let requests = cpu(class.cpu_request_milli + over.cpu_milli);
    let limits = cpu(class.cpu_limit_milli + over.cpu_milli);
    let memory = mib(class.memory_mib + over.memory_mib);
    let mut hard = json!({
        "pods": "1",
        "persistentvolumeclaims": "1",
        "services": "0",
        "requests.cpu": requests,
        "limits.cpu": limits,
        "requests.memory": memory,
        "limits.memory": memory,
        "requests.ephemeral-storage": mib(class.ephemeral_mib),
        "limits.ephemeral-storage": mib(class.ephemeral_mib),
    });
    if let (Some(gpu), Some(hard)) = (&class.gpu, hard.as_object_mut()) {
        hard.insert(
            format!("requests.{}", gpu.resource),
            json!(gpu.count.to_string()),
        );
    }
    json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": of.meta(QUOTA),
        "spec": { "hard": hard },
    })
}

/// The same for one container, for whatever else gets into the namespace without limits of its own.
pub fn limits(of: Of<'_>, class: &Class) -> Value {
    let most = json!({
        "cpu": cpu(class.cpu_limit_milli),
        "memory": mib(class.memory_mib),
        "ephemeral-storage": mib(class.ephemeral_mib),
    });
    json!({
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": of.meta(QUOTA),
        "spec": {
            "limits": [{
                "type": "Container",
                "max": most,
                "default": most,
                "defaultRequest": {
                    "cpu": cpu(class.cpu_request_milli),
                    "memory": mib(class.memory_mib),
                    "ephemeral-storage": mib(class.ephemeral_mib),
                },
            }],
        },
    })
}

/// The home volume's claim. `volume` is the one that it has or has to get, with its StorageClass.
pub fn claim(of: Of<'_>, size: &str, volume: Option<(&str, Option<&str>)>) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": { "requests": { "storage": size } },
    });
    if let Some(spec) = spec.as_object_mut() {
        let class = match volume {
            Some((name, class)) => {
                spec.insert("volumeName".to_owned(), json!(name));
                class
            }
            None => of.settings.storage_class.as_deref(),
        };
        if let Some(class) = class {
            spec.insert("storageClassName".to_owned(), json!(class));
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": of.meta(CLAIM),
        "spec": spec,
    })
}

/// What the agent starts from. Without the token once it has enrolled: a Secret that a running pod mounts is emptied
/// rather than deleted, because the kubelet would report its absence for as long as the pod runs.
pub fn enrolment(of: Of<'_>, start: &Start, facts: &Facts) -> Value {
    // `data` and not `stringData`: what is left out of the latter is not taken out of the Secret.
    let encoded = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    let probes = match &start.work {
        Work::Probe(probes) => probes.clone(),
        Work::Agent | Work::Echo => (of.settings.probes)(facts),
    };
    let mut data = json!({
        "ca.pem": encoded(&of.settings.authority_pem),
        "probes.json": encoded(&probes),
    });
    let told = start.work.keeps() && !start.enrolled;
    if let (true, Some(data)) = (told, data.as_object_mut()) {
        data.insert("token".to_owned(), encoded(start.token.expose()));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": of.meta(ENROLMENT),
        "type": "Opaque",
        "data": data,
    })
}

/// Thousandths of a core in Kubernetes' own spelling, so that what comes back compares equal.
fn cpu(milli: u32) -> String {
    if milli.is_multiple_of(1000) {
        (milli / 1000).to_string()
    } else {
        format!("{milli}m")
    }
}

/// As [`cpu`], for MiB.
fn mib(mib: u32) -> String {
    if mib > 0 && mib.is_multiple_of(1024) {
        gib(mib / 1024)
    } else {
        format!("{mib}Mi")
    }
}

/// As [`cpu`], for GiB.
pub fn gib(gib: u32) -> String {
    if gib > 0 && gib.is_multiple_of(1024) {
        format!("{}Ti", gib / 1024)
    } else {
        format!("{gib}Gi")
    }
}

#[cfg(test)]
mod tests;
