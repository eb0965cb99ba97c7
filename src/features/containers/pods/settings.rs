//! From `[kubernetes]` to what the cluster's client wants, and the probes of the isolation gate.

use std::net::SocketAddr;
use std::sync::Arc;

use optidev_agent::wire::{Expectation, Probe, ProbeKind, Probes, Refusal};

use crate::clients::cluster::{Class, Facts, Gpu, Overhead, Server, Settings, Toleration};
use crate::config::{ClassConfig, Config};
use crate::features::containers::runtime;

/// For one try of what must stay silent: a positive control in the same cluster answers in a few milliseconds.
const TRY_MS: u64 = 400;
/// A policy takes up to half a second to be in force; a slow enforcer gets more.
const ENFORCER_MS: u64 = 15_000;
/// The address of cloud providers' metadata service.
const METADATA: &str = "169.254.169.254:80";

/// What a controller sees around it that no container may reach.
#[derive(Debug, Clone, Default)]
pub struct Around {
    /// The cluster's name server.
    pub name_server: Option<SocketAddr>,
    /// The kubelet of the controller's own node: it listens on every node, and on this one for certain.
    pub kubelet: Option<SocketAddr>,
}

/// Settings for the cluster's client.
pub fn settings(config: &Config, authority_pem: String, around: Around) -> Settings {
    let (name, hosts) = runtime::preview_hosts(&config.server.apps_domain);
    let config = &config.kubernetes;
    let forbidden = config.forbidden.clone();
    Settings {
        install: config.install.clone(),
        release_namespace: config.namespace.clone(),
        web_labels: config.web_labels.clone(),
        server: Server::Service {
            name: config.service.clone(),
            port: config.listen.port(),
        },
        server_port: config.listen.port(),
        agent_port: config.agent_port,
        agent_image: config.agent_image.clone(),
        authority_pem,
        environment: [(name.to_owned(), hosts)].into(),
        probes: Arc::new(move |facts| {
            serde_json::to_string(&probes(facts, &around, &forbidden)).unwrap_or_default()
        }),
        storage_class: config.storage_class.clone(),
        runtime_class: config.runtime_class.clone(),
        overhead: Overhead {
            cpu_milli: config.overhead_cpu_milli,
            memory_mib: config.overhead_memory_mib,
        },
        node_selector: config.node_selector.clone(),
        tolerations: config
            .tolerations
            .iter()
            .map(|toleration| Toleration {
                key: toleration.key.clone(),
                operator: toleration.operator.clone(),
                value: toleration.value.clone(),
                effect: toleration.effect.clone(),
            })
            .collect(),
        image_pull_policy: config.image_pull_policy.clone(),
        image_pull_secrets: config.image_pull_secrets.clone(),
        pod_security_level: config.pod_security_level.clone(),
        uid: config.uid,
        host_users: config.host_users,
        allow_tags: config.allow_tags,
        free_namespaces: config.free_namespaces_after_hours > 0,
    }
}

/// The probes that settings make of `facts`.
pub fn probes_of(settings: &Settings, facts: &Facts) -> Probes {
    serde_json::from_str(&(settings.probes)(facts)).unwrap_or(Probes {
        enforcer_wait_ms: ENFORCER_MS,
        probes: Vec::new(),
    })
}

/// A class of the settings.
pub fn class(name: &str, class: &ClassConfig) -> Class {
    Class {
        name: name.to_owned(),
        cpu_request_milli: class.cpu_request_milli,
        cpu_limit_milli: class.cpu_limit_milli,
        memory_mib: class.memory_mib,
        ephemeral_mib: class.ephemeral_mib,
        volume_gib: class.volume_gib,
        gpu: class.gpu.as_ref().map(|gpu| Gpu {
            resource: gpu.resource.clone(),
            count: gpu.count,
        }),
    }
}

fn probes(facts: &Facts, around: &Around, forbidden: &[SocketAddr]) -> Probes {
    let server = Probe {
        expect: Expectation::Reachable,
        timeout_ms: 2_000,
        ..blocked("server", ProbeKind::Tcp, &facts.server.to_string())
    };
    let mut probes = vec![
        server,
        blocked("metadata", ProbeKind::Tcp, METADATA),
        blocked("ipv6", ProbeKind::Interface, ""),
    ];
    let tcp = |name: &str, address: SocketAddr| Probe {
        // These listen, so a refusal is the enforcer's.
        refusal: Refusal::Blocked,
        ..blocked(name, kind(address), &address.to_string())
    };
    if let Some(address) = facts.api_server {
        probes.push(tcp("kubernetes-api", address));
    }
    if let Some(address) = around.kubelet {
        probes.push(tcp("node", address));
    }
    if let Some(address) = around.name_server {
        for (name, kind) in [
            ("dns-udp", ProbeKind::DnsUdp),
            ("dns-tcp", ProbeKind::DnsTcp),
        ] {
            probes.push(Probe {
                query: Some("kubernetes.default.svc.cluster.local".to_owned()),
                ..blocked(name, kind, &address.to_string())
            });
        }
    }
    for address in forbidden {
        probes.push(tcp(&format!("forbidden-{address}"), *address));
    }
    Probes {
        enforcer_wait_ms: ENFORCER_MS,
        probes,
    }
}

fn kind(address: SocketAddr) -> ProbeKind {
    if address.is_ipv4() {
        ProbeKind::Tcp
    } else {
        ProbeKind::Tcp6
    }
}

/// A probe of what must stay silent.
pub fn blocked(name: &str, kind: ProbeKind, address: &str) -> Probe {
    Probe {
        name: name.to_owned(),
        address: address.to_owned(),
        kind,
        expect: Expectation::Blocked,
        timeout_ms: TRY_MS,
        send: None,
        query: None,
        refusal: Refusal::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_probes_of_both_kinds_and_only_what_is_known_is_tried() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut facts = Facts {
            container: "ctr_x".to_owned(),
            server: address("10.96.0.7:7444"),
            api_server: None,
        };
        let names = |probes: &Probes| -> Vec<(String, Expectation)> {
            let each = probes.probes.iter();
            each.map(|probe| (probe.name.clone(), probe.expect))
                .collect()
        };
        let least = names(&probes(&facts, &Around::default(), &[]));
        let blocked = |name: &str| (name.to_owned(), Expectation::Blocked);
        assert_eq!(
            least,
            [
                ("server".to_owned(), Expectation::Reachable),
                blocked("metadata"),
                blocked("ipv6"),
            ]
        );
        facts.api_server = Some(address("10.96.0.1:443"));
        let around = Around {
            name_server: Some(address("10.96.0.10:53")),
            kubelet: Some(address("192.0.2.1:10250")),
        };
        let all = names(&probes(&facts, &around, &[address("192.0.2.9:22")]));
        let more = [
            "kubernetes-api",
            "node",
            "dns-udp",
            "dns-tcp",
            "forbidden-192.0.2.9:22",
        ];
        assert_eq!(all.get(least.len()..).unwrap(), more.map(blocked));
    }
}
