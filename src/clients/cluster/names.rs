//! Names and marks: how a container's objects are called, and how one of ours is told from one of somebody else.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Server-side apply's name for us.
pub const MANAGER: &str = "optidev-controller";
/// Label: the installation.
pub const INSTALL: &str = "optidev.dev/install";
/// Label: the container.
pub const CONTAINER: &str = "optidev.dev/container";
/// Label: the workspace.
pub const WORKSPACE: &str = "optidev.dev/workspace";
/// Label: who manages it.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const OPTIDEV: &str = "optidev";
/// Annotation: whose container it is. Nothing without it is ever removed as garbage.
pub const OWNER: &str = "optidev.dev/owner";
/// Annotation of a pod: the start that it is of.
pub const START: &str = "optidev.dev/start";
/// Annotation of a kept volume: the reclaim policy that it had.
pub const RECLAIM: &str = "optidev.dev/reclaim-policy";

/// The pod.
pub const POD: &str = "dev";
/// The volume's claim.
pub const CLAIM: &str = "home";
/// The Secret.
pub const ENROLMENT: &str = "enrolment";
/// The policy that forbids everything.
pub const DENY: &str = "default-deny";
/// The policy that allows what has to be.
pub const ALLOW: &str = "agent";
/// The quota, and the limits.
pub const QUOTA: &str = "container";

const PREFIX: &str = "ctr_";

/// The namespace of a container, or none when `container` is no container's id.
#[must_use]
pub fn namespace_of(container: &str) -> Option<String> {
    let rest = container.strip_prefix(PREFIX)?;
    is_rest(rest).then(|| format!("od-{rest}"))
}

/// The container that a namespace of this name is for.
pub fn container_of(namespace: &str) -> Option<String> {
    let rest = namespace.strip_prefix("od-")?;
    is_rest(rest).then(|| format!("{PREFIX}{rest}"))
}

/// 26 characters of Crockford's alphabet in lower case: no i, l, o, u.
fn is_rest(rest: &str) -> bool {
    rest.len() == 26
        && rest
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'h' | b'j' | b'k' | b'm' | b'n' | b'p'..=b't' | b'v'..=b'z'))
}

/// Whether Kubernetes takes `value` as a label's value that says something.
pub fn is_label_value(value: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    value.len() <= 63
        && edge(value.bytes().next())
        && edge(value.bytes().last())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The marks of one installation.
#[derive(Debug, Clone)]
pub struct Labels {
    install: String,
}

impl Labels {
    /// Of the installation with this id.
    #[must_use]
    pub fn new(install: &str) -> Self {
        Self {
            install: install.to_owned(),
        }
    }

    /// Selects everything of the installation.
    #[must_use]
    pub fn selector(&self) -> String {
        format!("{MANAGED_BY}={OPTIDEV},{INSTALL}={}", self.install)
    }

    /// Selects everything of one of its containers.
    pub(super) fn selector_of(&self, container: &str) -> String {
        format!("{},{CONTAINER}={container}", self.selector())
    }

    /// The labels of a container's objects.
    pub(super) fn of(&self, container: &str, workspace: &str) -> BTreeMap<String, String> {
        [
            (MANAGED_BY, OPTIDEV),
            (INSTALL, &self.install),
            (CONTAINER, container),
            (WORKSPACE, workspace),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }

    /// Whether an object was made by this installation for `container`.
    pub(super) fn are_on(&self, meta: &ObjectMeta, container: &str) -> bool {
        label(meta, MANAGED_BY) == Some(OPTIDEV)
            && label(meta, INSTALL) == Some(&self.install)
            && label(meta, CONTAINER) == Some(container)
    }

    /// The container that a cluster-wide object is of, by label and owner both.
    pub(super) fn owned(&self, meta: &ObjectMeta) -> Option<String> {
        let container = label(meta, CONTAINER)?;
        let owner = annotation(meta, OWNER)?;
        (self.are_on(meta, container) && namespace_of(container).is_some() && !owner.is_empty())
            .then(|| container.to_owned())
    }
}

/// A label's value.
pub fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// An annotation's value.
pub fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "ctr_01hzy3v9k2m4n6p8q0r2s4t6vw";

    #[test]
    fn names_go_both_ways_and_only_for_ids() {
        let namespace = namespace_of(ID).unwrap();
        assert_eq!(namespace, "od-01hzy3v9k2m4n6p8q0r2s4t6vw");
        assert_eq!(container_of(&namespace).as_deref(), Some(ID));
        for bad in [
            "ctr_",
            "kube-system",
            "ctr_01HZY3V9K2M4N6P8Q0R2S4T6VW",
            "ctr_01hzy3v9k2m4n6p8q0r2s4t6vl",
            "ctr_01hzy3v9k2m4n6p8q0r2s4t6v/",
            "ctr_01hzy3v9k2m4n6p8q0r2s4t6vwx",
        ] {
            assert_eq!(namespace_of(bad), None, "{bad}");
        }
        assert_eq!(container_of("kube-system"), None);
        assert_eq!(container_of("od-something"), None);
    }

    #[test]
    fn ours_is_what_has_every_mark() {
        let labels = Labels::new("one");
        let whole = ObjectMeta {
            labels: Some(labels.of(ID, "wsp_x")),
            annotations: Some([(OWNER.to_owned(), "usr_x".to_owned())].into()),
            ..ObjectMeta::default()
        };
        assert_eq!(labels.owned(&whole).as_deref(), Some(ID));
        assert_eq!(Labels::new("two").owned(&whole), None);
        for key in [MANAGED_BY, INSTALL, CONTAINER] {
            let mut less = whole.clone();
            less.labels.as_mut().unwrap().remove(key);
            assert_eq!(labels.owned(&less), None, "without {key}");
        }
        let mut less = whole.clone();
        less.annotations = None;
        assert_eq!(labels.owned(&less), None, "without the owner");
        let mut other = whole;
        other
            .labels
            .as_mut()
            .unwrap()
            .insert(CONTAINER.to_owned(), "kube-system".to_owned());
        assert_eq!(labels.owned(&other), None);
    }

    #[test]
    fn label_values() {
        for good in ["wsp_01h", "a", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"] {
            assert!(is_label_value(good));
        }
        for bad in ["", "-a", "a_", "a b", "a=b", &"a".repeat(64)] {
            assert!(!is_label_value(bad), "{bad}");
        }
    }
}
