use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use kube::api::PostParams;
use optidev::clients::cluster::*;
use serde_json::json;

use super::lab::*;

async fn said(lab: &Lab, wanted: &Wanted, parts: &[&str]) -> Observed {
    let seen = until(&lab.cluster, wanted, |seen| {
        seen.reason
            .as_ref()
            .is_some_and(|reason| parts.iter().all(|part| reason.contains(part)))
    })
    .await;
    eprintln!(
        "{:?} {:?} permanent {}: {}",
        seen.phase,
        seen.step,
        seen.permanent,
        seen.reason.as_deref().unwrap()
    );
    seen
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn what_goes_wrong_is_said_in_a_sentence() {
    let lab = lab().await;
    let container = lab.container().await;

    let seen = said(
        &lab,
        &container.start(1, |start| start.image = "localhost/none:1".to_owned()),
        &["localhost/none:1"],
    )
    .await;
    assert!(matches!(seen.phase, Phase::Pulling | Phase::Starting));
    let seen = said(
        &lab,
        &container.start(2, |start| {
            start.class.cpu_request_milli = 900_000;
            start.class.cpu_limit_milli = 900_000;
        }),
        &["No node", "Insufficient cpu"],
    )
    .await;
    assert_eq!((seen.phase, seen.permanent), (Phase::Scheduling, false));

    std::fs::write(container.directory.join("home/exit"), "").unwrap();
    let seen = said(
        &lab,
        &container.running(3),
        &["status 3", "isolation-unproven: 10.0.0.1 answers."],
    )
    .await;
    assert_eq!((seen.phase, seen.start), (Phase::Ended, Some(3)));
    std::fs::remove_file(container.directory.join("home/exit")).unwrap();

    std::fs::write(container.directory.join("home/eat"), "").unwrap();
    let seen = said(&lab, &container.running(4), &["memory was full"]).await;
    assert!(seen.out_of_memory && seen.phase == Phase::Ended);
    std::fs::remove_file(container.directory.join("home/eat")).unwrap();

    drive(&lab.cluster, &container.stopped(true), Phase::Stopped).await;
    let quota: ResourceQuota = serde_json::from_value(
        json!({ "metadata": { "name": "theirs" }, "spec": { "hard": { "limits.cpu": "100m" } } }),
    )
    .unwrap();
    let quotas = lab.api::<ResourceQuota>(&container.namespace);
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let seen = said(
        &lab,
        &container.running(5),
        &[
            "\"theirs\"",
            "limits.cpu=500m asked for",
            "limits.cpu=100m allowed",
        ],
    )
    .await;
    assert_eq!(
        (seen.phase, seen.step, seen.permanent),
        (Phase::Preparing, Some(Step::Pod), true)
    );
    quotas.delete("theirs", &Default::default()).await.unwrap();

    let range: LimitRange = serde_json::from_value(json!({ "metadata": { "name": "theirs" }, "spec": { "limits": [{ "type": "Container", "max": { "cpu": "100m" } }] } })).unwrap();
    let ranges = lab.api::<LimitRange>(&container.namespace);
    ranges.create(&PostParams::default(), &range).await.unwrap();
    said(
        &lab,
        &container.running(6),
        &["maximum cpu usage per Container is 100m, but limit is 500m"],
    )
    .await;
    ranges.delete("theirs", &Default::default()).await.unwrap();

    let mut gvisor = settings();
    gvisor.runtime_class = Some("gvisor".to_owned());
    let cluster = with(gvisor).await;
    let seen = until(&cluster, &container.running(7), |seen| {
        seen.reason.is_some()
    })
    .await;
    eprintln!("{:?}", seen.reason);
    assert!(
        seen.permanent
            && seen
                .reason
                .unwrap()
                .contains("RuntimeClass \"gvisor\" not found")
    );

    let mut strict = settings();
    strict.allow_tags = false;
    strict.agent_image = format!("localhost/agent@sha256:{}", "0".repeat(64));
    let seen = with(strict)
        .await
        .converge(&container.running(8))
        .await
        .unwrap();
    eprintln!("{:?}", seen.reason);
    assert!(seen.permanent && seen.reason.unwrap().contains("has no digest"));
    lab.discard(&container).await;
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn a_volume_that_does_not_come_is_said() {
    let lab = lab().await;
    let container = lab.container().await;
    let name = container.namespace.replace("od-", "lab-");
    let volumes: kube::Api<k8s_openapi::api::core::v1::PersistentVolume> =
        kube::Api::all(lab.admin.clone());
    volumes.delete(&name, &Default::default()).await.unwrap();
    let seen = said(&lab, &container.running(1), &["volume", "StorageClass"]).await;
    assert_eq!(seen.phase, Phase::Scheduling);
    lab.discard(&container).await;
}
