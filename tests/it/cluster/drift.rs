use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use optidev::clients::cluster::*;
use serde_json::json;

use super::lab::*;

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn policies_come_back_and_the_container_is_cut_off_until_they_hold() {
    let lab = lab().await;
    let container = lab.container().await;
    let wanted = container.running(1);
    drive(&lab.cluster, &wanted, Phase::Up).await;
    let policies = lab.api::<NetworkPolicy>(&container.namespace);

    for name in ["default-deny", "agent"] {
        policies
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        let seen = lab.cluster.converge(&wanted).await.unwrap();
        assert_eq!((seen.phase, seen.ip), (Phase::Unprotected, None));
        eprintln!("{}", seen.reason.unwrap());
        assert_eq!(lab.policies(&container).await, ["agent", "default-deny"]);
        // In the API, and perhaps not yet in the kernel.
        assert_eq!(
            lab.cluster.converge(&wanted).await.unwrap().phase,
            Phase::Unprotected
        );
        drive(&lab.cluster, &wanted, Phase::Up).await;
    }

    for (name, change) in [
        ("default-deny", json!({ "spec": { "ingress": [{}] } })),
        (
            "default-deny",
            json!({ "spec": { "policyTypes": ["Ingress"] } }),
        ),
        (
            "default-deny",
            json!({ "spec": { "podSelector": { "matchLabels": { "a": "b" } } } }),
        ),
        ("agent", json!({ "spec": { "egress": [{}] } })),
        (
            "agent",
            json!({ "spec": { "ingress": [{ "ports": [{ "port": 7443, "protocol": "TCP" }] }] } }),
        ),
    ] {
        policies
            .patch(name, &PatchParams::default(), &Patch::Merge(&change))
            .await
            .unwrap();
        assert_eq!(
            lab.cluster.converge(&wanted).await.unwrap().phase,
            Phase::Unprotected,
            "{change}"
        );
        drive(&lab.cluster, &wanted, Phase::Up).await;
        let now = serde_json::to_value(policies.get(name).await.unwrap().spec).unwrap();
        for (key, value) in change["spec"].as_object().unwrap() {
            assert_ne!(&now[key], value, "{name}");
        }
    }

    // Policies add up: one of somebody else's may open what ours close. It is not ours to remove.
    let opens: NetworkPolicy = serde_json::from_value(json!({
        "metadata": { "name": "theirs" }, "spec": { "podSelector": {}, "egress": [{}], "policyTypes": ["Egress"] },
    }))
    .unwrap();
    policies
        .create(&PostParams::default(), &opens)
        .await
        .unwrap();
    let seen = lab.cluster.converge(&wanted).await.unwrap();
    assert_eq!((seen.phase, seen.permanent), (Phase::Unprotected, true));
    eprintln!("{}", seen.reason.unwrap());
    assert!(
        lab.policies(&container)
            .await
            .contains(&"theirs".to_owned())
    );
    policies
        .delete("theirs", &DeleteParams::default())
        .await
        .unwrap();
    drive(&lab.cluster, &wanted, Phase::Up).await;

    // One that lost its labels is not touched, and said.
    let strip = json!({ "metadata": { "labels": { "optidev.dev/install": null } } });
    policies
        .patch("agent", &PatchParams::default(), &Patch::Merge(&strip))
        .await
        .unwrap();
    let seen = lab.cluster.converge(&wanted).await.unwrap();
    assert_eq!(seen.phase, Phase::Unprotected);
    eprintln!("{}", seen.reason.unwrap());
    lab.discard(&container).await;
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn no_pod_is_made_beside_a_policy_that_opens_it() {
    let lab = lab().await;
    let container = lab.container().await;
    let once = lab.cluster.led_by(Leadership::for_steps(1));
    assert!(once.converge(&container.running(1)).await.is_err());
    let opens: NetworkPolicy = serde_json::from_value(json!({
        "metadata": { "name": "theirs" }, "spec": { "podSelector": {}, "ingress": [{}] },
    }))
    .unwrap();
    let policies = lab.api::<NetworkPolicy>(&container.namespace);
    policies
        .create(&PostParams::default(), &opens)
        .await
        .unwrap();
    for _ in 0..3 {
        let seen = lab.cluster.converge(&container.running(1)).await.unwrap();
        assert_eq!(
            (seen.phase, seen.step),
            (Phase::Preparing, Some(Step::Policies))
        );
        assert!(lab.pod(&container).await.is_none());
    }
    lab.discard(&container).await;
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn the_watch_tells_and_labels_and_quota_are_put_back() {
    let lab = lab().await;
    let container = lab.container().await;
    let wanted = container.running(1);
    drive(&lab.cluster, &wanted, Phase::Up).await;
    let mut changes = Box::pin(lab.cluster.watch());
    while tokio::time::timeout(Duration::from_secs(1), changes.next())
        .await
        .is_ok()
    {}
    let policies = lab.api::<NetworkPolicy>(&container.namespace);
    let begun = Instant::now();
    policies
        .delete("default-deny", &DeleteParams::default())
        .await
        .unwrap();
    while changes.next().await != Some(Change::One(container.id.clone())) {}
    let told = begun.elapsed();
    let seen = lab.cluster.converge(&wanted).await.unwrap();
    eprintln!("told after {told:?}, back after {:?}", begun.elapsed());
    assert_eq!(seen.phase, Phase::Unprotected);

    let spaces: Api<Namespace> = Api::all(lab.admin.clone());
    let weaker =
        json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } });
    spaces
        .patch(
            &container.namespace,
            &PatchParams::default(),
            &Patch::Merge(&weaker),
        )
        .await
        .unwrap();
    let quotas = lab.api::<ResourceQuota>(&container.namespace);
    quotas
        .delete("container", &DeleteParams::default())
        .await
        .unwrap();
    drive(&lab.cluster, &wanted, Phase::Up).await;
    let labels = spaces
        .get(&container.namespace)
        .await
        .unwrap()
        .metadata
        .labels
        .unwrap();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    assert!(quotas.get_opt("container").await.unwrap().is_some());
    lab.discard(&container).await;
}
