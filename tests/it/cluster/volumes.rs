use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret};
use kube::Api;
use kube::api::PostParams;
use optidev::clients::cluster::*;
use serde_json::json;

use super::lab::*;

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn a_stopped_container_keeps_its_data_with_and_without_its_namespace() {
    let lab = lab().await;
    let container = lab.container().await;
    drive(&lab.cluster, &container.running(1), Phase::Up).await;
    drive(&lab.cluster, &container.stopped(true), Phase::Stopped).await;
    assert!(lab.pod(&container).await.is_none());
    let secrets = lab.api::<Secret>(&container.namespace);
    assert!(secrets.get_opt("enrolment").await.unwrap().is_none());
    let idle = lab.cluster.led_by(Leadership::for_steps(0));
    assert_eq!(
        idle.converge(&container.stopped(true)).await.unwrap().phase,
        Phase::Stopped
    );
    drive(&lab.cluster, &container.running(2), Phase::Up).await;
    assert_eq!(container.starts(), 2);

    // Freed: the namespace is gone, the volume waits for this container only.
    let freed = until(&lab.cluster, &container.stopped(false), |seen| seen.freed).await;
    assert_eq!(freed.phase, Phase::Stopped);
    assert!(lab.namespace(&container).await.is_none());
    let volume = lab.volume(&container).await.unwrap();
    let spec = volume.spec.unwrap();
    assert_eq!(
        spec.persistent_volume_reclaim_policy.as_deref(),
        Some("Retain")
    );
    assert_eq!(
        volume.metadata.annotations.unwrap()["optidev.dev/reclaim-policy"],
        "Delete"
    );
    assert_eq!(
        lab.cluster
            .known()
            .await
            .unwrap()
            .iter()
            .filter(|known| known.container == container.id)
            .count(),
        1
    );

    // Nobody else's claim gets it, neither while it is kept nor while it is bound anew.
    let theirs: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": { "name": "home" },
        "spec": { "storageClassName": "lab", "accessModes": ["ReadWriteOnce"],
                  "resources": { "requests": { "storage": "1Mi" } } },
    }))
    .unwrap();
    let claims = lab.api::<PersistentVolumeClaim>("optidev");
    claims
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    drive(&lab.cluster, &container.running(3), Phase::Up).await;
    assert_eq!(container.starts(), 3);
    let theirs = claims.get("home").await.unwrap();
    assert_eq!(theirs.status.unwrap().phase.as_deref(), Some("Pending"));
    claims.delete("home", &Default::default()).await.unwrap();
    let kept = lab
        .api::<PersistentVolumeClaim>(&container.namespace)
        .get("home")
        .await
        .unwrap();
    assert_eq!(
        kept.spec.unwrap().volume_name,
        lab.volume(&container).await.unwrap().metadata.name
    );

    // Freed once more, and deleted from there: the data goes too.
    until(&lab.cluster, &container.stopped(false), |seen| seen.freed).await;
    assert!(container.directory.join("home/starts").exists());
    lab.remove(&container).await;
    assert!(lab.volume(&container).await.is_none());
    for _ in 0..50 {
        if !container.directory.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    eprintln!(
        "the directory {} is still there",
        container.directory.display()
    );
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn garbage_is_removed_by_every_mark_and_nothing_else_is() {
    let lab = lab().await;
    let (kept, orphan, freed) = (
        lab.container().await,
        lab.container().await,
        lab.container().await,
    );
    for container in [&kept, &orphan, &freed] {
        drive(&lab.cluster, &container.running(1), Phase::Up).await;
    }
    until(&lab.cluster, &freed.stopped(false), |seen| seen.freed).await;
    // Each lacks one mark.
    let spaces: Api<Namespace> = Api::all(lab.admin.clone());
    let labels = json!({
        "app.kubernetes.io/managed-by": "optidev", "optidev.dev/install": INSTALL,
        "optidev.dev/workspace": "wsp_x",
    });
    let mut bystanders = Vec::new();
    for (number, (label, annotated, named)) in [
        (Some(("optidev.dev/install", "another")), true, true),
        (Some(("app.kubernetes.io/managed-by", "helm")), true, true),
        (None, false, true),
        (None, true, false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("0123456789abcdefghjkmnpq{number:02}");
        let mut labels = labels.clone();
        labels["optidev.dev/container"] = json!(format!("ctr_{id}"));
        if let Some((key, value)) = label {
            labels[key] = json!(value);
        }
        let name = if named {
            format!("od-{id}")
        } else {
            format!("lab-bystander-{number}")
        };
        let mut made = json!({ "metadata": { "name": name, "labels": labels } });
        if annotated {
            made["metadata"]["annotations"] = json!({ "optidev.dev/owner": "usr_x" });
        }
        spaces
            .create(
                &PostParams::default(),
                &serde_json::from_value(made).unwrap(),
            )
            .await
            .unwrap();
        bystanders.push(name);
    }
    // Other tests' containers run in the same cluster.
    let rows = |all: Vec<Known>| {
        all.into_iter()
            .map(|known| known.container)
            .filter(|id| *id != orphan.id && *id != freed.id)
            .collect()
    };
    let rows: std::collections::HashSet<String> = rows(lab.cluster.known().await.unwrap());
    assert!(rows.contains(&kept.id));
    loop {
        let collected = lab.cluster.collect(&rows).await.unwrap();
        if collected.is_empty() {
            break;
        }
        for one in collected {
            assert!([&orphan.id, &freed.id].contains(&&one.container), "{one:?}");
            one.observed.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(lab.namespace(&orphan).await.is_none() && lab.volume(&freed).await.is_none());
    assert!(
        lab.namespace(&kept)
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
    );
    for name in bystanders {
        let there = spaces.get(&name).await.unwrap();
        assert!(there.metadata.deletion_timestamp.is_none(), "{name}");
        spaces.delete(&name, &Default::default()).await.unwrap();
    }
    lab.discard(&kept).await;
}
