//! What changes in the cluster, as containers to look at.

use std::fmt::Debug;

use futures_util::future::ready;
use futures_util::stream::{BoxStream, select_all};
use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{
    LimitRange, Namespace, PersistentVolumeClaim, Pod, ResourceQuota,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::names::{CONTAINER, container_of, label, namespace_of};
use super::{Cluster, Labels};

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Something of this container changed.
    One(String),
    /// A watch began anew and may have missed deletions: look at every container.
    All,
}

impl Cluster {
    /// Never ends. Watches that break begin anew, waiting longer each time. The same container comes several times in a
    /// start; whoever reads puts them together.
    ///
    /// Only metadata is transferred. Network policies are watched without a selector, because one that somebody else
    /// put into a container's namespace may allow what ours forbid.
    pub fn watch(&self) -> impl Stream<Item = Change> + Send + use<> {
        let ours = || watcher::Config::default().labels(&self.labels.selector());
        let labels = &self.labels;
        select_all([
            changes::<Namespace>(self.all(), ours(), labels),
            changes::<Pod>(self.all(), ours(), labels),
            changes::<PersistentVolumeClaim>(self.all(), ours(), labels),
            changes::<ResourceQuota>(self.all(), ours(), labels),
            changes::<LimitRange>(self.all(), ours(), labels),
            changes::<NetworkPolicy>(self.all(), watcher::Config::default(), labels),
        ])
    }
}

fn changes<K>(
    api: Api<PartialObjectMeta<K>>,
    config: watcher::Config,
    labels: &Labels,
) -> BoxStream<'static, Change>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let labels = labels.clone();
    watcher::watcher(api, config)
        .default_backoff()
        .filter_map(move |event| {
            ready(match event {
                Ok(Event::Apply(object) | Event::Delete(object) | Event::InitApply(object)) => {
                    whose(&object.metadata, &labels).map(Change::One)
                }
                Ok(Event::InitDone) => Some(Change::All),
                Ok(Event::Init) => None,
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), %error, "a watch broke; it begins anew");
                    None
                }
            })
        })
        .boxed()
}

/// The container that an object belongs to: by its labels, else by the namespace that it is in.
fn whose(meta: &ObjectMeta, labels: &Labels) -> Option<String> {
    let by_label = label(meta, CONTAINER)
        .filter(|container| labels.are_on(meta, container) && namespace_of(container).is_some());
    match by_label {
        Some(container) => Some(container.to_owned()),
        None => container_of(meta.namespace.as_deref()?),
    }
}

#[cfg(test)]
mod tests {
    use super::super::objects::samples::{self, ID, NAMESPACE};
    use super::*;

    #[test]
    fn objects_belong_by_label_or_by_namespace() {
        let (_, labels, _) = samples::all();
        let ours = ObjectMeta {
            labels: Some(labels.of(ID, "wsp_x")),
            ..ObjectMeta::default()
        };
        assert_eq!(whose(&ours, &labels).as_deref(), Some(ID));
        let stripped = ObjectMeta {
            namespace: Some(NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        };
        assert_eq!(whose(&stripped, &labels).as_deref(), Some(ID));
        let elsewhere = ObjectMeta {
            namespace: Some("kube-system".to_owned()),
            ..ObjectMeta::default()
        };
        assert_eq!(whose(&elsewhere, &labels), None);
    }
}
