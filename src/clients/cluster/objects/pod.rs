//! The pod: the user's image, with the agent copied in, under everything that confines it.
//!
//! Three things are not the pod's to say: how many processes it may have is the kubelet's `podPidsLimit`; what the
//! enforcer does before its policy is in force is proven by the agent's gate; and that a kernel bug does not reach the
//! node is RuntimeClass' part.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{Of, cpu, mib};
use crate::clients::cluster::model::{Start, Work};
use crate::clients::cluster::names::{CLAIM, ENROLMENT, POD, START};
use crate::clients::cluster::settings::{Class, Toleration};

const HOME: &str = "/home/dev";
const BIN: &str = "/optidev/bin";
const ENROL: &str = "/optidev/enrol";
/// The agent's own state, such as the history of terminals. Beside the home in the same volume: it outlives the pod.
const STATE: &str = "/optidev/state";
/// In the volume, too: what a container writes is bounded by its own volume, and the node's disk is nothing that it could fill. The agent
/// empties it at each start.
const SCRATCH: &str = "/tmp";
/// In memory. The agent makes the folder of secrets in it, since a volume's own folder belongs to root.
const RUN: &str = "/run";
const SECRETS: &str = "/run/secrets";
/// The agent ends its terminals by itself before; what is left after this is killed.
const GRACE_S: u32 = 5;
/// Memory for files of secrets. It counts as the container's memory.
const RUN_MIB: u32 = 8;
/// Where Kubernetes takes a pod's last words from, and shows them in its status.
const REPORT: &str = "/dev/termination-log";
/// The agent's executable.
const AGENT_MIB: u32 = 64;

/// The pod of this start.
pub fn pod(of: Of<'_>, start: &Start, server: SocketAddr) -> Value {
    let settings = of.settings;
    let resources = resources(&start.class);
    // The copy has the same limits, so that it is not slowed down; a pod is counted by the larger of both.
    let mut copying = start.class.clone();
    copying.gpu = None;
    let security = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": { "drop": ["ALL"] },
        "privileged": false,
        "readOnlyRootFilesystem": true,
        "runAsNonRoot": true,
        "runAsUser": settings.uid,
        "runAsGroup": settings.uid,
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let mut meta = of.meta(POD);
    insert(
        &mut meta,
        "annotations",
        json!({
            START: start.number.to_string(),
            "kubectl.kubernetes.io/default-container": POD,
        }),
    );
    let mut spec = json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "hostNetwork": false,
        "hostPID": false,
        "hostIPC": false,
        "shareProcessNamespace": false,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_S,
        // A resolver that nobody can reach: names are the egress role's to look up.
        "dnsPolicy": "None",
        "dnsConfig": { "nameservers": ["127.0.0.1"] },
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": settings.uid,
            "runAsGroup": settings.uid,
            "fsGroup": settings.uid,
            // A volume of many files is not walked at each start.
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "initContainers": [{
            "name": "agent",
            "image": settings.agent_image,
            "imagePullPolicy": settings.image_pull_policy,
            "command": ["/usr/bin/optidev", "agent-install", "/optidev/agent"],
            "resources": self::resources(&copying),
            "securityContext": security,
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [{ "name": "agent", "mountPath": "/optidev/agent" }],
        }],
        "containers": [{
            "name": POD,
            "image": start.image,
            "imagePullPolicy": settings.image_pull_policy,
            "command": [format!("{BIN}/optidev-agent")],
            "args": arguments(of, start, server),
            "env": environment(of, start),
            "ports": [{ "name": "agent", "containerPort": settings.agent_port, "protocol": "TCP" }],
            "resources": resources,
            "securityContext": security,
            // The last lines of an agent that ended, without a right to read logs.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [
                { "name": CLAIM, "mountPath": HOME, "subPath": "home" },
                { "name": CLAIM, "mountPath": SCRATCH, "subPath": "tmp" },
                { "name": CLAIM, "mountPath": STATE, "subPath": "state" },
                { "name": "run", "mountPath": RUN },
                { "name": "agent", "mountPath": BIN, "readOnly": true },
                { "name": ENROLMENT, "mountPath": ENROL, "readOnly": true },
            ],
        }],
        "volumes": [
            home(start),
            { "name": "run", "emptyDir": { "medium": "Memory", "sizeLimit": mib(RUN_MIB) } },
            { "name": "agent", "emptyDir": { "sizeLimit": mib(AGENT_MIB) } },
            { "name": ENROLMENT, "secret": { "secretName": ENROLMENT, "defaultMode": 0o440 } },
        ],
    });
    optional(&mut spec, of);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec })
}

/// What the admin may set and need not.
fn optional(spec: &mut Value, of: Of<'_>) {
    let settings = of.settings;
    if let Some(class) = &settings.runtime_class {
        insert(spec, "runtimeClassName", json!(class));
    }
    if let Some(shared) = settings.host_users {
        insert(spec, "hostUsers", json!(shared));
    }
    if !settings.node_selector.is_empty() {
        insert(spec, "nodeSelector", json!(settings.node_selector));
    }
    if !settings.tolerations.is_empty() {
        let all: Vec<_> = settings.tolerations.iter().map(toleration).collect();
        insert(spec, "tolerations", json!(all));
    }
    if !settings.image_pull_secrets.is_empty() {
        let all: Vec<_> = settings
            .image_pull_secrets
            .iter()
            .map(|name| json!({ "name": name }))
            .collect();
        insert(spec, "imagePullSecrets", json!(all));
    }
}

fn toleration(toleration: &Toleration) -> Value {
    let mut made = json!({});
    for (key, value) in [
        ("key", &toleration.key),
        ("operator", &toleration.operator),
        ("value", &toleration.value),
        ("effect", &toleration.effect),
    ] {
        if let Some(value) = value {
            insert(&mut made, key, json!(value));
        }
    }
    made
}

fn home(start: &Start) -> Value {
    if start.work.keeps() {
        json!({ "name": CLAIM, "persistentVolumeClaim": { "claimName": CLAIM } })
    } else {
        json!({ "name": CLAIM, "emptyDir": { "sizeLimit": mib(RUN_MIB) } })
    }
}

fn environment(of: Of<'_>, start: &Start) -> Vec<Value> {
    let given = start.work.keeps().then_some(&of.settings.environment);
    let each = given.into_iter().flatten();
    each.map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

/// Beside the agent's port, another, as user code might listen on.
pub const OTHER_PORT: u16 = 8000;

fn arguments(of: Of<'_>, start: &Start, server: SocketAddr) -> Vec<String> {
    let listen = format!("0.0.0.0:{}", of.settings.agent_port);
    if !start.work.keeps() {
        let mut arguments = vec!["probe", "--report", REPORT, "--echo", &listen];
        let other = format!("0.0.0.0:{OTHER_PORT}");
        arguments.extend(["--echo", &other]);
        let plan = format!("{ENROL}/probes.json");
        if matches!(start.work, Work::Probe(_)) {
            arguments.extend(["--probes", &plan]);
        }
        return arguments.into_iter().map(str::to_owned).collect();
    }
    [
        ("--listen", listen),
        ("--server", server.to_string()),
        ("--authority", format!("{ENROL}/ca.pem")),
        ("--token-file", format!("{ENROL}/token")),
        ("--container", of.wanted.container.clone()),
        ("--probes", format!("{ENROL}/probes.json")),
        ("--scratch", SCRATCH.to_owned()),
        ("--home", HOME.to_owned()),
        ("--state", STATE.to_owned()),
        ("--secrets", SECRETS.to_owned()),
        ("--proxy", "127.0.0.1:3128".to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name.to_owned(), value])
    .collect()
}

fn resources(class: &Class) -> Value {
    let mut requests = json!({
        "cpu": cpu(class.cpu_request_milli),
        "memory": mib(class.memory_mib),
        "ephemeral-storage": mib(class.ephemeral_mib),
    });
    let mut limits = json!({
        "cpu": cpu(class.cpu_limit_milli),
        "memory": mib(class.memory_mib),
        "ephemeral-storage": mib(class.ephemeral_mib),
    });
    if let Some(gpu) = &class.gpu {
        insert(&mut requests, &gpu.resource, json!(gpu.count.to_string()));
        insert(&mut limits, &gpu.resource, json!(gpu.count.to_string()));
    }
    json!({ "requests": requests, "limits": limits })
}

fn insert(object: &mut Value, key: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
