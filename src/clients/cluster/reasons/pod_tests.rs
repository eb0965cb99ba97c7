//! What a pod says, and what it means.

use serde_json::{Value, json};

use super::*;

fn seen(status: Value) -> Observed {
    let pod_: Pod = serde_json::from_value(json!({
        "metadata": { "name": "dev", "uid": "u-1", "annotations": { "optidev.dev/start": "3" } },
        "status": status,
    }))
    .unwrap();
    pod(&pod_)
}

fn scheduled() -> Value {
    json!([{ "type": "PodScheduled", "status": "True" }])
}

fn container(name: &str, state: Value) -> Value {
    json!([{ "name": name, "image": "reg/dev@sha256:1", "imageID": "", "ready": false, "restartCount": 0, "state": state }])
}

#[test]
fn a_start_goes_through_its_phases() {
    let ready = json!([
        { "type": "PodScheduled", "status": "True" }, { "type": "PodReadyToStartContainers", "status": "True" },
    ]);
    let waiting = container("dev", json!({ "waiting": { "reason": "PodInitializing" } }));
    let running = json!({ "running": { "startedAt": "2026-01-01T00:00:00Z" } });
    let done = json!({ "terminated": { "exitCode": 0, "reason": "Completed" } });
    for (status, phase, step) in [
        (json!({}), Phase::Scheduling, Step::Node),
        (
            json!({ "phase": "Pending", "conditions": scheduled() }),
            Phase::Pulling,
            Step::Mount,
        ),
        (
            json!({ "phase": "Pending", "conditions": ready, "containerStatuses": waiting }),
            Phase::Pulling,
            Step::Agent,
        ),
        (
            json!({ "phase": "Pending", "conditions": ready, "containerStatuses": waiting,
                    "initContainerStatuses": container("agent", running.clone()) }),
            Phase::Pulling,
            Step::Agent,
        ),
        (
            json!({ "phase": "Pending", "conditions": ready, "containerStatuses": waiting,
                    "initContainerStatuses": container("agent", done) }),
            Phase::Starting,
            Step::Image,
        ),
        (
            json!({ "phase": "Running", "conditions": ready, "podIP": "10.1.2.3",
                    "containerStatuses": container("dev", running) }),
            Phase::Up,
            Step::Run,
        ),
    ] {
        let observed = seen(status.clone());
        assert_eq!(
            (observed.phase, observed.step),
            (phase, Some(step)),
            "{status}"
        );
        assert_eq!(observed.ip.is_some(), phase == Phase::Up);
        assert_eq!(observed.start, Some(3));
        assert_eq!(observed.pod_uid.as_deref(), Some("u-1"));
    }
}

#[test]
fn what_holds_up_a_start_is_said() {
    let unschedulable = |message: &str| json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message }] });
    let waits = |reason: &str, message: &str| {
        json!({ "conditions": scheduled(),
                "containerStatuses": container("dev", json!({ "waiting": { "reason": reason, "message": message } })) })
    };
    for (status, parts, permanent) in [
        (
            unschedulable(
                "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available.",
            ),
            vec!["No node", "3 Insufficient memory.", "smaller class"],
            false,
        ),
        (
            unschedulable(
                "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: x",
            ),
            vec!["volume", "StorageClass"],
            false,
        ),
        (
            waits("ImagePullBackOff", "rpc error: reg/dev@sha256:1: not found"),
            vec!["reg/dev@sha256:1", "not found", "allow-list"],
            true,
        ),
        (
            waits(
                "ErrImagePull",
                "failed to authorize: 401 Unauthorized: unauthorized",
            ),
            vec!["credentials"],
            true,
        ),
        (
            waits("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout"),
            vec!["i/o timeout", "tried again"],
            false,
        ),
        (
            waits("ErrImageNeverPull", ""),
            vec!["\"Never\"", "Load it"],
            true,
        ),
        (waits("InvalidImageName", ""), vec!["allow-list"], true),
        (
            waits(
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
            ),
            vec!["image will run as root", "without root"],
            true,
        ),
        (
            waits(
                "CreateContainerConfigError",
                "secret \"enrolment\" not found",
            ),
            vec!["\"enrolment\" not found"],
            false,
        ),
        (
            waits("CreateContainerError", "context deadline exceeded"),
            vec!["does not start", "context deadline exceeded"],
            false,
        ),
    ] {
        let observed = seen(status);
        let reason = observed.reason.unwrap();
        for part in parts {
            assert!(reason.contains(part), "{part}: {reason}");
        }
        assert_eq!(observed.permanent, permanent, "{reason}");
    }
}

#[test]
fn why_it_ended_is_said() {
    let over = |state: Value| json!({ "phase": "Failed", "containerStatuses": container("dev", json!({ "terminated": state })) });
    for (status, parts, out_of_memory) in [
        (
            over(json!({ "exitCode": 137, "reason": "OOMKilled" })),
            vec!["memory was full"],
            true,
        ),
        (
            json!({ "phase": "Failed", "reason": "Evicted", "message": "Pod ephemeral local storage usage exceeds the total limit of containers 1500Mi." }),
            vec!["evicted", "1500Mi", "larger class"],
            false,
        ),
        (
            over(
                json!({ "exitCode": 3, "reason": "Error", "message": "starting\nisolation-unproven: 10.0.0.1 answers\n" }),
            ),
            vec!["status 3", "isolation-unproven: 10.0.0.1 answers."],
            false,
        ),
        (
            over(json!({ "exitCode": 0 })),
            vec!["The agent ended with status 0."],
            false,
        ),
        (
            json!({ "phase": "Failed", "initContainerStatuses": container("agent", json!({ "terminated": { "exitCode": 1, "message": "no space" } })) }),
            vec!["could not be copied", "no space."],
            false,
        ),
    ] {
        let observed = seen(status);
        assert_eq!(observed.phase, Phase::Ended);
        assert_eq!(observed.out_of_memory, out_of_memory);
        let reason = observed.reason.unwrap();
        for part in parts {
            assert!(reason.contains(part), "{part}: {reason}");
        }
    }
}

#[test]
fn events_say_what_no_status_does() {
    let event = |reason: &str, at: &str, kind: &str| -> Event {
        serde_json::from_value(json!({
            "metadata": { "name": "e" }, "involvedObject": {}, "type": kind, "reason": reason,
            "message": "MountVolume.SetUp failed for volume \"home\": timed out", "lastTimestamp": at,
        }))
        .unwrap()
    };
    let all = [
        event("FailedScheduling", "2026-01-01T00:00:01Z", "Warning"),
        event("FailedMount", "2026-01-01T00:00:05Z", "Warning"),
        event("Pulling", "2026-01-01T00:00:09Z", "Normal"),
    ];
    assert!(events(&all).unwrap().contains("cannot be mounted"));
    // What was complained about last counts.
    assert_eq!(events(&all[..1]), None);
    assert_eq!(events(&[]), None);
}
