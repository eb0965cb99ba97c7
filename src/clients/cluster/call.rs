//! One call to the API: its time limit, whether it may be made, and what its answer means.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::names::MANAGER;
use super::reasons::{Refusal, refusal};
use super::{Cluster, Step};
use crate::metrics;

/// At most for one call. Together with the time in which a lease has to be renewed it stays below the lease's duration:
/// what a former leader has sent is over before another can lead.
pub const LIMIT: Duration = Duration::from_secs(4);

/// Why a look could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The settings, or what was asked, cannot work.
    #[error("{0}")]
    Setting(String),
    /// Somebody else's object stands where ours would be. It is not touched.
    #[error(
        "the {kind} \"{name}\" is there and does not carry this installation's labels; it is left alone. Remove or rename it."
    )]
    Foreign {
        /// Its kind.
        kind: &'static str,
        /// Namespace and name.
        name: String,
    },
    /// The API refused a change, and said why.
    #[error("{}", refusal.reason)]
    Refused {
        /// The step.
        step: Step,
        /// What it said, for people.
        refusal: Refusal,
    },
    /// The call failed.
    #[error("{what} failed")]
    Call {
        /// What was to be done.
        what: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("{what} got no answer within {} ms", LIMIT.as_millis())]
    Timeout {
        /// What was to be done.
        what: String,
    },
    /// Something was changed or deleted between the look and the change. Look again soon.
    #[error("{what} met a change that somebody else made meanwhile")]
    Changed {
        /// What was to be done.
        what: String,
    },
    /// Another controller leads, or may soon: nothing was sent.
    #[error("this controller does not lead any more")]
    NotLeader,
}

impl ClusterError {
    /// Whether trying again without a change cannot help.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Setting(_) | Self::Foreign { .. } => true,
            Self::Refused { refusal, .. } => refusal.permanent,
            Self::Call { .. } | Self::Timeout { .. } | Self::Changed { .. } | Self::NotLeader => {
                false
            }
        }
    }
}

/// What an answer of the API was about.
fn status(error: &kube::Error) -> Option<&kube::core::Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

/// The kind of a call, by the words that say what it is.
fn verb(what: &str) -> &'static str {
    match what.split(' ').next() {
        Some("reading") => "get",
        Some("listing") => "list",
        Some("applying") => "apply",
        Some("changing") => "patch",
        Some("deleting") => "delete",
        Some("taking" | "renewing" | "giving") => "lease",
        _ => "other",
    }
}

fn outcome(error: &kube::Error) -> &'static str {
    match status(error).map(|status| status.code) {
        None => "unreachable",
        Some(404) => "not_found",
        Some(409) => "conflict",
        Some(429) => "rate_limited",
        Some(400..500) => "refused",
        Some(_) => "failed",
    }
}

impl Cluster {
    /// Runs a call that changes nothing.
    pub(super) async fn read<T>(
        &self,
        what: impl Into<String>,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        let what = what.into();
        let answer = tokio::time::timeout(LIMIT, call).await;
        metrics::kubernetes(
            verb(&what),
            match &answer {
                Ok(Ok(_)) => "ok",
                Ok(Err(error)) => outcome(error),
                Err(_) => "timeout",
            },
        );
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(ClusterError::Call {
                what,
                source: Box::new(source),
            }),
            Err(_) => Err(ClusterError::Timeout { what }),
        }
    }

    /// Runs a call that changes something, while this controller leads.
    pub(super) async fn write<T>(
        &self,
        step: Step,
        what: impl Into<String>,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        if !self.leadership.pass() {
            return Err(ClusterError::NotLeader);
        }
        match self.read(what, call).await {
            Err(ClusterError::Call { what, source })
                if status(&source).is_some_and(|status| status.code == 409) =>
            {
                Err(ClusterError::Changed { what })
            }
            Err(ClusterError::Call { what, source }) => {
                match status(&source).and_then(|status| refusal(status, &what)) {
                    Some(refusal) => Err(ClusterError::Refused { step, refusal }),
                    None => Err(ClusterError::Call { what, source }),
                }
            }
            other => other,
        }
    }

    /// An object, or none.
    pub(super) async fn find<K>(&self, api: &Api<K>, name: &str) -> Result<Option<K>, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        self.read(
            format!("reading {} {name}", K::kind(&())),
            api.get_opt(name),
        )
        .await
    }

    /// Server-side apply. `uid` is that of the object that was looked at: another one of the same name is not changed.
    pub(super) async fn apply<K>(
        &self,
        step: Step,
        api: &Api<K>,
        mut object: Value,
        uid: Option<&str>,
    ) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if let (Some(uid), Some(meta)) = (
            uid,
            object
                .pointer_mut("/metadata")
                .and_then(Value::as_object_mut),
        ) {
            meta.insert("uid".to_owned(), Value::from(uid));
        }
        let mut how = PatchParams::apply(MANAGER).force();
        how.field_validation = Some(kube::api::ValidationDirective::Strict);
        self.write(
            step,
            format!("applying {} {name}", K::kind(&())),
            api.patch(&name, &how, &Patch::Apply(object)),
        )
        .await
    }

    /// Makes an object that is there exactly as wanted, in what it specifies.
    ///
    /// Server-side apply does not do that: what somebody *added* belongs to them and stays, such as a rule in a policy that
    /// has none. So the difference is sent, with a null for whatever is too much.
    pub(super) async fn put_right<K>(
        &self,
        step: Step,
        api: &Api<K>,
        there: &K,
        wanted: &Value,
    ) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
    {
        let meta = there.meta();
        let is = serde_json::to_value(there).unwrap_or_default();
        let of = |value: &Value, key: &str| value.pointer(key).cloned().unwrap_or_default();
        let mut change = serde_json::json!({
            "metadata": {
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
                "labels": of(wanted, "/metadata/labels"),
            },
        });
        if let Some(spec) = difference(&of(&is, "/spec"), &of(wanted, "/spec"))
            && let Some(change) = change.as_object_mut()
        {
            change.insert("spec".to_owned(), spec);
        }
        let name = meta.name.clone().unwrap_or_default();
        self.merge(step, api, &name, change).await
    }

    /// A merge patch of the very version that was looked at.
    pub(super) async fn merge<K>(
        &self,
        step: Step,
        api: &Api<K>,
        name: &str,
        change: impl Serialize + Debug,
    ) -> Result<K, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let how = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.write(
            step,
            format!("changing {} {name}", K::kind(&())),
            api.patch(name, &how, &Patch::Merge(change)),
        )
        .await
    }

    /// Deletes the very object with `uid`; gone already is as good.
    pub(super) async fn remove<K>(
        &self,
        step: Step,
        api: &Api<K>,
        name: &str,
        uid: Option<&str>,
    ) -> Result<(), ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let how = DeleteParams {
            preconditions: uid.map(|uid| Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        // The answer may hold the object itself; it is not looked at.
        let call = async {
            match api.delete(name, &how).await {
                Err(error) if status(&error).is_some_and(kube::core::Status::is_not_found) => {
                    Ok(())
                }
                Err(error) => Err(error),
                Ok(_) => Ok(()),
            }
        };
        self.write(step, format!("deleting {} {name}", K::kind(&())), call)
            .await
    }

    /// The objects of one kind in a namespace.
    pub(super) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The cluster's objects of one kind.
    pub(super) fn all<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }
}

/// The JSON merge patch (RFC 7386) that makes `wanted` of `is`; none when they are the same.
fn difference(is: &Value, wanted: &Value) -> Option<Value> {
    if is == wanted {
        return None;
    }
    let (Some(is), Some(wanted)) = (is.as_object(), wanted.as_object()) else {
        return Some(wanted.clone());
    };
    let mut change = serde_json::Map::new();
    for key in is.keys().filter(|key| !wanted.contains_key(*key)) {
        change.insert(key.clone(), Value::Null);
    }
    for (key, value) in wanted {
        if let Some(part) = difference(is.get(key).unwrap_or(&Value::Null), value) {
            change.insert(key.clone(), part);
        }
    }
    Some(Value::Object(change))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_much_is_taken_out() {
        let wanted = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
        assert_eq!(difference(&wanted, &wanted), None);
        let is = json!({
            "podSelector": { "matchLabels": { "a": "b" } }, "policyTypes": ["Ingress"], "ingress": [{}],
        });
        assert_eq!(
            difference(&is, &wanted).unwrap(),
            json!({
                "podSelector": { "matchLabels": null }, "policyTypes": ["Ingress", "Egress"], "ingress": null,
            })
        );
        assert_eq!(
            difference(&json!({}), &json!({ "a": 1 })).unwrap(),
            json!({ "a": 1 })
        );
    }
}
