use std::time::Instant;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use optidev::clients::cluster::*;
use serde_json::json;

use super::lab::*;

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn a_deleted_container_is_reported_gone_only_when_it_is() {
    let lab = lab().await;
    let container = lab.container().await;
    drive(&lab.cluster, &container.running(1), Phase::Up).await;
    let begun = Instant::now();
    let deleted = container.wanted(WantedState::Deleted);
    loop {
        let seen = lab.cluster.converge(&deleted).await.unwrap();
        if seen.phase == Phase::Gone {
            break;
        }
        assert_eq!(seen.phase, Phase::Terminating);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    eprintln!("gone after {:?}", begun.elapsed());
    assert!(lab.namespace(&container).await.is_none());
    assert_eq!(
        lab.cluster.converge(&deleted).await.unwrap().phase,
        Phase::Gone
    );
}

/// The agent's port is closed to pods that are not OptiDev's web role, and open to those that are.
#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn only_web_pods_reach_the_agent() {
    let lab = lab().await;
    let container = lab.container().await;
    let up = drive(&lab.cluster, &container.running(1), Phase::Up).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let ip = up.ip.unwrap().to_string();
    for (namespace, component, reaches) in [
        ("optidev", "web", true),
        ("optidev", "controller", false),
        ("default", "web", false),
    ] {
        let pods = lab.api::<Pod>(namespace);
        let name = format!("probe-{component}");
        let mut labels = settings().web_labels;
        labels.insert(
            "app.kubernetes.io/component".to_owned(),
            component.to_owned(),
        );
        let probe: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels },
            "spec": { "restartPolicy": "Never", "containers": [{ "name": "a", "image": "localhost/agent:1",
                "imagePullPolicy": "IfNotPresent", "command": ["/usr/bin/optidev", "connect", ip, "7443"] }] },
        }))
        .unwrap();
        pods.create(&PostParams::default(), &probe).await.unwrap();
        let phase = loop {
            let pod = pods.get(&name).await.unwrap();
            match pod.status.and_then(|status| status.phase).as_deref() {
                Some("Succeeded") => break true,
                Some("Failed") => break false,
                _ => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
            }
        };
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
        eprintln!("{component} of {namespace}: {phase}");
        assert_eq!(phase, reaches, "{component} of {namespace}");
    }
    lab.discard(&container).await;
}
