//! A pod's status, as a phase and a sentence.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodCondition, PodStatus};

use super::sentence;
use crate::clients::cluster::names::{START, annotation};
use crate::clients::cluster::{Observed, Phase, Step};

/// The start that a pod is of.
pub fn start_of(pod: &Pod) -> Option<u64> {
    annotation(&pod.metadata, START)?.parse().ok()
}

/// Whether nothing of it runs any more.
pub fn is_over(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// The pod of a start that has enrolled is being deleted, by somebody else.
pub fn removed(pod: &Pod) -> Observed {
    let mut observed = Observed::at(Phase::Ended, Some(Step::Run)).because(
        "The pod was deleted in the cluster: its node is being drained, or somebody did it. Start the container again.",
    );
    observed.pod_uid.clone_from(&pod.metadata.uid);
    observed.start = start_of(pod);
    observed
}

/// The pod of a start that has enrolled is gone.
pub fn vanished(start: u64) -> Observed {
    let mut observed = Observed::at(Phase::Ended, Some(Step::Run)).because(
        "The pod is gone from the cluster: its node was drained or lost, or somebody deleted it. Start the container \
         again.",
    );
    observed.start = Some(start);
    observed
}

/// What a pod's status says.
pub fn pod(pod: &Pod) -> Observed {
    let status = pod.status.clone().unwrap_or_default();
    let mut observed = phase(pod, &status);
    if matches!(observed.phase, Phase::Pulling | Phase::Starting | Phase::Up) {
        observed.ip = address(&status);
    }
    observed.pod_uid.clone_from(&pod.metadata.uid);
    observed.start = start_of(pod);
    observed
}

fn phase(pod: &Pod, status: &PodStatus) -> Observed {
    let init = status
        .init_container_statuses
        .as_deref()
        .and_then(<[_]>::first);
    let main = status.container_statuses.as_deref().and_then(<[_]>::first);
    if is_over(pod) {
        return ended(status, init, main);
    }
    if !is_true(status, "PodScheduled") {
        return scheduling(status);
    }
    // Both may be waiting for an image, or for what cannot be made.
    if let Some(waiting) = [init, main].into_iter().flatten().find_map(waiting) {
        return waiting;
    }
    let runs = main.and_then(|main| main.state.as_ref()?.running.as_ref());
    if runs.is_some() {
        let phase = if address(status).is_some() {
            Phase::Up
        } else {
            Phase::Starting
        };
        return Observed::at(phase, Some(Step::Run));
    }
    let copied = init
        .and_then(|init| init.state.as_ref()?.terminated.as_ref())
        .is_some_and(|end| end.exit_code == 0);
    let copying = init.is_some_and(|init| {
        init.state
            .as_ref()
            .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    });
    if copied {
        Observed::at(Phase::Starting, Some(Step::Image))
    } else if copying || is_true(status, "PodReadyToStartContainers") {
        Observed::at(Phase::Pulling, Some(Step::Agent))
    } else {
        Observed::at(Phase::Pulling, Some(Step::Mount))
    }
}

fn address(status: &PodStatus) -> Option<std::net::IpAddr> {
    status.pod_ip.as_deref()?.parse().ok()
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<&'a PodCondition> {
    status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind)
}

fn is_true(status: &PodStatus, kind: &str) -> bool {
    condition(status, kind).is_some_and(|condition| condition.status == "True")
}

fn scheduling(status: &PodStatus) -> Observed {
    let observed = Observed::at(Phase::Scheduling, Some(Step::Node));
    let Some(condition) = condition(status, "PodScheduled") else {
        return observed;
    };
    let message = condition.message.as_deref().unwrap_or_default();
    match condition.reason.as_deref() {
        Some("Unschedulable") if message.contains("unbound immediate PersistentVolumeClaims") => observed.because(
            "The container's volume is not there yet: its StorageClass has not provided it. If this lasts, check the \
             StorageClass in OptiDev's settings.",
        ),
        Some("Unschedulable") => observed.because(format!(
            "No node of the cluster can take the container: {} It goes on as soon as one can; else choose a smaller \
             class, or have nodes added.",
            sentence(before(message, " preemption:"))
        )),
        Some("SchedulingGated") => observed.because(
            "Something in the cluster holds the pod back with a scheduling gate. Exempt OptiDev's namespaces from it.",
        ),
        _ => observed,
    }
}

/// A container that waits for what does not come by itself.
fn waiting(container: &ContainerStatus) -> Option<Observed> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let image = &container.image;
    let (reason, permanent) = match waiting.reason.as_deref()? {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => {
            let missing = ["not found", "manifest unknown", "does not exist"]
                .iter()
                .any(|mark| message.contains(mark));
            let refused = ["unauthorized", "denied", "403", "401"]
                .iter()
                .any(|mark| message.contains(mark));
            let remedy = if missing {
                "Check its name and digest in the allow-list."
            } else if refused {
                "Check the registry's credentials in OptiDev's settings."
            } else {
                "Check that the nodes reach its registry; it is tried again."
            };
            (
                format!(
                    "The image {image} cannot be pulled: {} {remedy}",
                    sentence(message)
                ),
                missing || refused,
            )
        }
        "InvalidImageName" => (
            format!("The image's name {image:?} is none. Correct it in the allow-list."),
            true,
        ),
        "ErrImageNeverPull" => (
            format!(
                "The image {image} is not on the node, and the pull policy is \"Never\". Load it there, or set \
                 \"IfNotPresent\"."
            ),
            true,
        ),
        "CreateContainerConfigError" => {
            // The agent refuses to run as root, and so does the kubelet for an image of root.
            let root =
                message.contains("runAsNonRoot") || message.contains("image will run as root");
            let remedy = if root {
                "Use an image that runs without root."
            } else {
                "It is tried again."
            };
            (
                format!(
                    "The container of {image} cannot be made: {} {remedy}",
                    sentence(message)
                ),
                root,
            )
        }
        "CreateContainerError" | "RunContainerError" => (
            format!(
                "The container of {image} does not start: {} If this lasts, the image or the node is at fault.",
                sentence(message)
            ),
            false,
        ),
        _ => return None,
    };
    let mut observed = Observed::at(Phase::Pulling, Some(Step::Image)).because(reason);
    observed.permanent = permanent;
    Some(observed)
}

fn ended(
    status: &PodStatus,
    init: Option<&ContainerStatus>,
    main: Option<&ContainerStatus>,
) -> Observed {
    let mut observed = Observed::at(Phase::Ended, Some(Step::Run));
    let message = status.message.as_deref().unwrap_or_default();
    let terminated =
        |container: Option<&ContainerStatus>| container?.state.as_ref()?.terminated.clone();
    let copy = terminated(init).filter(|end| end.exit_code != 0);
    let over = terminated(main);
    let killed = [&copy, &over]
        .into_iter()
        .flatten()
        .any(|end| end.reason.as_deref() == Some("OOMKilled"));
    observed.out_of_memory = killed;
    observed.report = over
        .as_ref()
        .filter(|end| end.exit_code == 0)
        .and_then(|end| end.message.clone());
    let reason = match status.reason.as_deref() {
        Some("Evicted") => format!(
            "The node evicted the container: {} Use less disk, or choose a larger class.",
            sentence(message)
        ),
        Some("Preempting" | "Preempted") => {
            "The cluster needed the place for a pod of higher priority. Start the container again.".to_owned()
        }
        Some("NodeLost" | "NodeShutdown" | "Terminated") => {
            "The node that the container ran on was shut down or lost. Start the container again.".to_owned()
        }
        Some("UnexpectedAdmissionError" | "OutOfcpu" | "OutOfmemory" | "OutOfpods") => format!(
            "The node did not take the container: {} Start it again.",
            sentence(message)
        ),
        _ if killed => "The container's memory was full, and the system ended it. Use less, or choose a larger class.".to_owned(),
        _ => {
            let (what, end) = match (&copy, &over) {
                (Some(end), _) => ("The agent could not be copied into the pod", Some(end)),
                (None, end) => ("The agent ended", end.as_ref()),
            };
            let code = end.map_or_else(String::new, |end| format!(" with status {}", end.exit_code));
            match end.and_then(|end| end.message.as_deref()).map(last_line) {
                Some(said) if !said.is_empty() => format!("{what}{code}: {}", sentence(said)),
                _ => format!("{what}{code}."),
            }
        }
    };
    observed.because(reason)
}

/// What events say that no status does: the last complaint about volumes or the network.
pub fn events(events: &[Event]) -> Option<String> {
    let at = |event: &&Event| {
        let meta = &event.metadata;
        // Names of events grow with time; their times come in three fields, none of which is always set.
        (
            event.last_timestamp.clone(),
            meta.creation_timestamp.clone(),
        )
    };
    let event = events
        .iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .max_by_key(at)?;
    let message = event.message.as_deref().unwrap_or_default();
    match event.reason.as_deref()? {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => Some(format!(
            "A volume of the container cannot be mounted: {} It is tried again; if this lasts, the storage or the node is \
             at fault.",
            sentence(message)
        )),
        "FailedCreatePodSandBox" => Some(format!(
            "The node cannot set up the container's network: {} It is tried again; if this lasts, the network plugin is at \
             fault.",
            sentence(message)
        )),
        _ => None,
    }
}

fn before<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or(text, |(start, _)| start)
}

fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or_default().trim()
}

#[cfg(test)]
#[path = "pod_tests.rs"]
mod tests;
