//! The two network policies: nothing in and out, and the one way to and from OptiDev's web role.

use serde_json::{Value, json};

use super::Of;
use crate::clients::cluster::names::{ALLOW, DENY};

/// Forbids everything, for every pod of the namespace.
pub fn deny(of: Of<'_>) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": of.meta(DENY),
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] },
    })
}

/// Allows the agent's port from web pods, and the enrolment and egress port of web pods. Nothing else: no DNS.
///
/// One peer with both selectors: two peers would mean either.
pub fn allow(of: Of<'_>) -> Value {
    let web = json!({
        "namespaceSelector": {
            "matchLabels": { "kubernetes.io/metadata.name": of.settings.release_namespace },
        },
        "podSelector": { "matchLabels": of.settings.web_labels },
    });
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": of.meta(ALLOW),
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [web],
                "ports": [{ "protocol": "TCP", "port": of.settings.agent_port }],
            }],
            "egress": [{
                "to": [web],
                "ports": [{ "protocol": "TCP", "port": of.settings.server_port }],
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn the_first_forbids_everything() {
        let (settings, labels, wanted) = samples::all();
        let policy = deny(samples::of(&settings, &labels, &wanted));
        assert_eq!(
            policy["spec"],
            json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] })
        );
    }

    #[test]
    fn the_second_allows_web_pods_of_the_release_namespace_only() {
        let (settings, labels, wanted) = samples::all();
        let policy = allow(samples::of(&settings, &labels, &wanted));
        let web = json!({
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "optidev" } },
            "podSelector": { "matchLabels": {
                "app.kubernetes.io/name": "optidev", "app.kubernetes.io/component": "web",
            } },
        });
        let spec = &policy["spec"];
        assert_eq!(spec["podSelector"], json!({}));
        assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(
            spec["ingress"],
            json!([{ "from": [web], "ports": [{ "protocol": "TCP", "port": 7443 }] }])
        );
        assert_eq!(
            spec["egress"],
            json!([{ "to": [web], "ports": [{ "protocol": "TCP", "port": 7444 }] }])
        );
    }
}
