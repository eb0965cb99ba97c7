use std::time::{Duration, Instant};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{DeleteParams, PostParams};
use optidev::clients::cluster::*;
use serde_json::json;

use super::lab::*;

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn a_container_starts_step_by_step_and_then_nothing_changes() {
    let lab = lab().await;
    let container = lab.container().await;
    let mut seen = Vec::new();
    let wanted = container.running(1);
    let up = loop {
        let observed = lab.cluster.converge(&wanted).await.unwrap();
        if seen.last() != Some(&(observed.phase, observed.step)) {
            seen.push((observed.phase, observed.step));
        }
        if observed.phase == Phase::Up {
            break observed;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    eprintln!("{seen:?}");
    let pod = lab.pod(&container).await.unwrap();
    assert_eq!(
        up.ip.unwrap().to_string(),
        pod.status.unwrap().pod_ip.unwrap()
    );
    assert_eq!(up.pod_uid, pod.metadata.uid);
    assert_eq!(up.start, Some(1));
    assert_eq!(lab.policies(&container).await, ["agent", "default-deny"]);
    // Nothing is sent when everything is as wanted.
    let idle = lab.cluster.led_by(Leadership::for_steps(0));
    assert_eq!(idle.converge(&wanted).await.unwrap().phase, Phase::Up);
    // Nor by a controller that remembers nothing.
    let fresh = controller().await.led_by(Leadership::for_steps(0));
    assert_eq!(fresh.converge(&wanted).await.unwrap().phase, Phase::Up);

    let secrets = lab.api::<Secret>(&container.namespace);
    let keys = |secret: Secret| secret.data.unwrap().into_keys().collect::<Vec<_>>();
    let before = secrets.get("enrolment").await.unwrap();
    assert_eq!(before.data.as_ref().unwrap()["token"].0, b"hunter2");
    assert_eq!(keys(before), ["ca.pem", "probes.json", "token"]);
    let enrolled = container.start(1, |start| start.enrolled = true);
    assert_eq!(
        lab.cluster.converge(&enrolled).await.unwrap().phase,
        Phase::Up
    );
    assert_eq!(
        keys(secrets.get("enrolment").await.unwrap()),
        ["ca.pem", "probes.json"]
    );
    assert_eq!(idle.converge(&enrolled).await.unwrap().phase, Phase::Up);

    // Another start is another pod, with another token.
    let next = container.start(2, |start| {
        start.token = optidev::kernel::SecretString::new("second".to_owned())
    });
    let again = until(&lab.cluster, &next, |seen| {
        seen.phase == Phase::Up && seen.start == Some(2)
    })
    .await;
    assert_ne!(again.pod_uid, up.pod_uid);
    assert_eq!(
        secrets.get("enrolment").await.unwrap().data.unwrap()["token"].0,
        b"second"
    );
    assert_eq!(container.starts(), 2);

    // A pod that goes after its token was used is not made again.
    let enrolled = container.start(2, |start| start.enrolled = true);
    lab.api::<Pod>(&container.namespace)
        .delete("dev", &DeleteParams::default())
        .await
        .unwrap();
    let over = drive(&lab.cluster, &enrolled, Phase::Ended).await;
    eprintln!("{:?}", over.reason);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        drive(&lab.cluster, &enrolled, Phase::Ended).await.start,
        Some(2)
    );
    lab.discard(&container).await;
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn a_controller_that_is_killed_between_any_two_steps_is_taken_over() {
    let lab = lab().await;
    let each = futures_util::future::join_all((0..12).map(|steps| taken_over(&lab, steps))).await;
    assert!(each[0] && !each[11], "more steps than expected: {each:?}");
}

/// Starts a container with a controller that is killed after so many steps, and says whether it was; another one goes on.
async fn taken_over(lab: &Lab, steps: usize) -> bool {
    let container = lab.container().await;
    let killed = controller().await.led_by(Leadership::for_steps(steps));
    let wanted = container.running(1);
    let mut died = false;
    for _ in 0..200 {
        lab.check(&container).await;
        match killed.converge(&wanted).await {
            Ok(seen) if seen.phase == Phase::Up => break,
            Err(ClusterError::NotLeader) => {
                died = true;
                break;
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    lab.check(&container).await;
    let next = controller().await;
    drive(&next, &wanted, Phase::Up).await;
    assert_eq!(container.starts(), 1);
    eprintln!("{steps} steps: killed {died}");
    if steps == 0 {
        ways_down(lab, &container).await;
    } else {
        lab.discard(&container).await;
    }
    died
}

/// Stops, frees, starts and deletes a container, killed after each step or two.
async fn ways_down(lab: &Lab, container: &Box_) {
    let mut looks = 0;
    for (wanted, phase) in [
        (container.stopped(true), Phase::Stopped),
        (container.stopped(false), Phase::Stopped),
        (container.running(2), Phase::Up),
        (container.wanted(WantedState::Deleted), Phase::Gone),
    ] {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            // A Secret that may not be read is written again by each life: that and the pod are two.
            looks += 1;
            let once = controller()
                .await
                .led_by(Leadership::for_steps(1 + looks % 2));
            let looked = once.converge(&wanted).await;
            let last = format!("{looked:?}");
            match looked {
                Ok(seen) if seen.phase == phase => {
                    let WantedState::Stopped { keep_namespace } = wanted.state else {
                        break;
                    };
                    if keep_namespace || seen.freed {
                        break;
                    }
                }
                Ok(_) | Err(ClusterError::NotLeader) => {}
                Err(error) => eprintln!("{error}"),
            }
            lab.check(container).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(Instant::now() < end, "{phase:?} is never so, {last:?}");
        }
        if phase == Phase::Up {
            assert_eq!(container.starts(), 2, "the data was kept");
        }
    }
    assert!(lab.namespace(container).await.is_none() && lab.volume(container).await.is_none());
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn calls_that_are_cut_off_anywhere_do_no_harm() {
    let lab = lab().await;
    let container = lab.container().await;
    let mut wait = 1;
    for (wanted, phase) in [
        (container.running(1), Phase::Up),
        (container.stopped(false), Phase::Stopped),
        (container.running(2), Phase::Up),
        (container.wanted(WantedState::Deleted), Phase::Gone),
    ] {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            wait = wait * 7 % 601;
            let cut =
                tokio::time::timeout(Duration::from_millis(wait), lab.cluster.converge(&wanted))
                    .await;
            lab.check(&container).await;
            if let Ok(Ok(seen)) = cut
                && seen.phase == phase
                && (phase != Phase::Stopped || seen.freed)
            {
                break;
            }
            assert!(Instant::now() < end, "{phase:?} is never so");
        }
    }
    assert!(lab.volume(&container).await.is_none());
}

#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let lab = lab().await;
    let container = lab.container().await;
    let spaces: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(lab.admin.clone());
    let theirs =
        serde_json::from_value(json!({ "metadata": { "name": container.namespace } })).unwrap();
    let made = spaces
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    for wanted in [
        container.running(1),
        container.stopped(true),
        container.stopped(false),
        container.wanted(WantedState::Deleted),
    ] {
        let refused = lab.cluster.converge(&wanted).await.unwrap_err();
        assert!(
            matches!(refused, ClusterError::Foreign { .. }) && refused.is_permanent(),
            "{refused}"
        );
        eprintln!("{refused}");
    }
    let after = spaces.get(&container.namespace).await.unwrap();
    assert_eq!(
        after.metadata.resource_version,
        made.metadata.resource_version
    );
    spaces
        .delete(&container.namespace, &DeleteParams::default())
        .await
        .unwrap();
}

/// p50 of the added time over a bare pod of the same image.
#[ignore = "needs a cluster: scripts/cluster-lab"]
#[tokio::test]
async fn starts_are_measured_against_a_bare_pod() {
    let lab = lab().await;
    let (mut ours, mut bare, mut agents) = (Vec::new(), Vec::new(), Vec::new());
    let mut over = Vec::new();
    for round in 0..5 {
        let container = lab.container().await;
        let wanted = container.running(1);
        let mut changes = Box::pin(lab.cluster.watch());
        // The watches are there before, as in a controller that runs.
        let quiet = Duration::from_millis(400);
        while tokio::time::timeout(quiet, changes.next()).await.is_ok() {}
        let (begun, began) = (Instant::now(), std::time::SystemTime::now());
        let (mut looks, mut steps) = (0, Vec::new());
        loop {
            looks += 1;
            let seen = lab.cluster.converge(&wanted).await.unwrap();
            if steps.last().is_none_or(|(_, last)| *last != seen.step) {
                steps.push((begun.elapsed(), seen.step));
            }
            if seen.phase == Phase::Up {
                break;
            }
            let again = seen.look_again.unwrap_or(Duration::from_secs(5));
            let _ = tokio::time::timeout(again, async {
                while let Some(change) = changes.next().await {
                    if change == Change::One(container.id.clone()) {
                        break;
                    }
                }
            })
            .await;
        }
        ours.push(begun.elapsed());
        let agent = std::fs::metadata(container.directory.join("home/starts"))
            .unwrap()
            .modified()
            .unwrap();
        let agent = agent.duration_since(began).unwrap();
        eprintln!("the agent itself after {agent:?}");
        agents.push(agent);
        eprintln!("{steps:?}");
        let begun = Instant::now();
        let name = format!("bare{round}");
        let pods = lab.api::<Pod>("optidev");
        let plain: Pod = serde_json::from_value(json!({
            "metadata": { "name": name },
            "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{
                "name": name, "image": "localhost/dev:1", "imagePullPolicy": "IfNotPresent",
                "volumeMounts": [{ "name": "home", "mountPath": "/home/dev" }],
            }], "volumes": [{ "name": "home", "emptyDir": {} }] },
        }))
        .unwrap();
        pods.create(&PostParams::default(), &plain).await.unwrap();
        let running = kube::runtime::wait::await_condition(
            pods.clone(),
            &name,
            kube::runtime::wait::conditions::is_pod_running(),
        );
        running.await.unwrap();
        bare.push(begun.elapsed());
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
        eprintln!(
            "{round}: ours {:?} in {looks} looks, bare {:?}",
            ours[round], bare[round]
        );
        over.push(container);
    }
    for container in over {
        lab.discard(&container).await;
    }
    ours.sort();
    bare.sort();
    eprintln!(
        "p50: ours {:?}, bare {:?}",
        ours[ours.len() / 2],
        bare[bare.len() / 2]
    );
}
