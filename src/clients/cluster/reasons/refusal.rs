//! Changes that the API refused.

use std::time::Duration;

use kube::core::Status;

use super::sentence;

/// Until a controller of the cluster has done its part.
const SOON: Duration = Duration::from_millis(100);

/// A change that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// A sentence.
    pub reason: String,
    /// Whether waiting cannot help.
    pub permanent: bool,
    /// When the cluster only needs a moment: how long.
    pub soon: Option<Duration>,
}

impl Refusal {
    fn for_good(reason: String) -> Self {
        Self {
            reason,
            permanent: true,
            soon: None,
        }
    }

    fn passing(reason: String) -> Self {
        Self {
            reason,
            permanent: false,
            soon: None,
        }
    }

    fn moment(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            permanent: false,
            soon: Some(SOON),
        }
    }
}

/// What `status` says about `what` was tried, when it is a refusal and not a failure of the API itself.
pub fn refusal(status: &Status, what: &str) -> Option<Refusal> {
    let said = status.message.as_str();
    let has = |part: &str| said.contains(part);
    match status.code {
        403 if has("error looking up service account") => Some(Refusal::moment(
            "The cluster is still preparing the container's namespace.",
        )),
        403 if has("status unknown for quota") => Some(Refusal::moment(
            "The cluster is still counting what the container's namespace uses.",
        )),
        403 if has("because it is being terminated") => Some(Refusal::passing(
            "The container's namespace is being removed; the start goes on when it is gone.".to_owned(),
        )),
        403 if has("exceeded quota:") => Some(Refusal::for_good(quota(said))),
        403 if has("violates PodSecurity") => Some(Refusal::for_good(format!(
            "The cluster's Pod Security forbids this container: {} The class, the runtime class or the level in OptiDev's \
             settings has to change.",
            sentence(after(said, "violates PodSecurity "))
        ))),
        403 | 400 | 422 if has("ValidatingAdmissionPolicy") || has("admission webhook") => {
            Some(Refusal::for_good(admission(said)))
        }
        403 if has(" per Container is ") || has(" per Pod is ") => Some(Refusal::for_good(format!(
            "The class asks for more than the cluster's LimitRange allows: {} Choose a smaller class, or have the limit \
             raised.",
            sentence(after(said, "is forbidden: "))
        ))),
        403 if has("pod rejected: RuntimeClass") => Some(Refusal::for_good(format!(
            "{} Install it in the cluster, or change the runtime class in OptiDev's settings.",
            sentence(after(said, "pod rejected: "))
        ))),
        403 if has(" cannot ") => Some(Refusal::for_good(format!(
            "OptiDev's account in the cluster lacks a right: {} Upgrade the Helm release, or give it the right.",
            sentence(after(said, "is forbidden: "))
        ))),
        403 if has("only dynamically provisioned pvc can be resized") => Some(Refusal::for_good(
            "The volume cannot grow: its StorageClass does not allow expansion. Set the class's old size, or allow it."
                .to_owned(),
        )),
        403 => Some(Refusal::for_good(format!(
            "The cluster refused {what}: {}",
            sentence(after(said, "is forbidden: "))
        ))),
        400 | 422 => Some(Refusal::for_good(format!(
            "The cluster does not accept {what}: {} This is a wrong setting or an error of OptiDev.",
            sentence(after(said, "is invalid: "))
        ))),
        _ => None,
    }
}

/// `exceeded quota: NAME, requested: a=1,b=2, used: …, limited: …`.
fn quota(said: &str) -> String {
    let name = after(said, "exceeded quota: ");
    let name = name.split(',').next().unwrap_or(name);
    let field = |key: &str, end: &str| {
        let rest = after(said, key);
        rest.split(end).next().unwrap_or(rest).to_owned()
    };
    format!(
        "The quota \"{name}\" of the container's namespace is used up: {} asked for, {} allowed, {} in use. Choose a smaller \
         class, or have the quota raised.",
        field("requested: ", ", used:"),
        field("limited: ", "\n"),
        field("used: ", ", limited:")
    )
}

/// `ValidatingAdmissionPolicy 'x' with binding 'y' denied request: why` or `admission webhook "x" denied the request: why`.
fn admission(said: &str) -> String {
    let who = if said.contains("admission webhook") {
        let rest = after(said, "admission webhook ");
        format!(
            "admission webhook {}",
            rest.split(" denied").next().unwrap_or(rest)
        )
    } else {
        let rest = after(said, "ValidatingAdmissionPolicy ");
        let name = rest.split(" with").next().unwrap_or(rest);
        format!("admission policy {}", name.replace('\'', "\""))
    };
    let why = [" denied the request: ", " denied request: "]
        .iter()
        .find_map(|mark| said.split_once(mark))
        .map_or(said, |(_, why)| why);
    format!(
        "The cluster's {who} refused it: {} Whoever looks after the cluster has to exempt OptiDev's namespaces or change \
         the policy.",
        sentence(why)
    )
}

/// The text behind `mark`, or all of it.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).map_or(text, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str) -> Refusal {
        let status = Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        };
        refusal(&status, "applying Pod dev").unwrap()
    }

    #[test]
    fn refusals_become_sentences() {
        for (code, message, parts, permanent) in [
            (
                403,
                r#"pods "dev" is forbidden: exceeded quota: container, requested: limits.cpu=4, used: limits.cpu=0, limited: limits.cpu=2"#,
                vec![
                    "\"container\"",
                    "limits.cpu=4 asked for",
                    "limits.cpu=2 allowed",
                    "limits.cpu=0 in use",
                ],
                true,
            ),
            (
                403,
                r#"pods "dev" is forbidden: violates PodSecurity "restricted:latest": hostNetwork=true, runAsNonRoot != true"#,
                vec!["Pod Security", "hostNetwork=true", "has to change"],
                true,
            ),
            (
                403,
                r#"pods "dev" is forbidden: ValidatingAdmissionPolicy 'no-foo' with binding 'b' denied request: images must be signed"#,
                vec!["admission policy \"no-foo\"", "images must be signed."],
                true,
            ),
            (
                400,
                r#"admission webhook "validate.kyverno.svc" denied the request: label team is missing"#,
                vec![
                    "admission webhook \"validate.kyverno.svc\"",
                    "label team is missing.",
                ],
                true,
            ),
            (
                403,
                r#"pods "dev" is forbidden: maximum cpu usage per Container is 1, but limit is 2"#,
                vec![
                    "LimitRange",
                    "maximum cpu usage per Container is 1, but limit is 2",
                    "smaller class",
                ],
                true,
            ),
            (
                403,
                r#"pods "dev" is forbidden: User "system:serviceaccount:optidev:c" cannot patch resource "pods" in API group "" in the namespace "x""#,
                vec!["lacks a right", "cannot patch resource \"pods\""],
                true,
            ),
            (
                403,
                r#"pods "dev" is forbidden: pod rejected: RuntimeClass "gvisor" not found"#,
                vec!["RuntimeClass \"gvisor\" not found."],
                true,
            ),
            (
                403,
                r#"pods "dev" is forbidden: unable to create new content in namespace od-x because it is being terminated"#,
                vec!["being removed"],
                false,
            ),
            (
                422,
                r#"Pod "dev" is invalid: spec.containers[0].image: Required value"#,
                vec!["spec.containers[0].image: Required value."],
                true,
            ),
        ] {
            let refusal = said(code, message);
            for part in parts {
                assert!(refusal.reason.contains(part), "{part}: {}", refusal.reason);
            }
            assert_eq!(refusal.permanent, permanent, "{message}");
        }
    }

    #[test]
    fn what_takes_a_moment_is_looked_at_soon() {
        for (code, message) in [
            (
                403,
                r#"pods "dev" is forbidden: error looking up service account od-x/default: serviceaccount "default" not found"#,
            ),
            (
                403,
                r#"pods "dev" is forbidden: status unknown for quota: container, resources: pods"#,
            ),
        ] {
            assert!(said(code, message).soon.is_some(), "{message}");
        }
    }

    #[test]
    fn failures_of_the_api_are_no_refusals() {
        for code in [401, 404, 409, 429, 500, 503] {
            let status = Status {
                code,
                ..Status::default()
            };
            assert_eq!(refusal(&status, ""), None, "{code}");
        }
    }
}
