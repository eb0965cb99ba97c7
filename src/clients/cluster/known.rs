//! What the cluster holds of this installation, and the removal of what nobody wants.
//!
//! By the installation's labels **and** the owner's mark **and** a name that fits: what lacks one of them is not seen.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, Pod};
use kube::api::ListParams;
use kube::core::ObjectMeta;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::names::{OWNER, WORKSPACE, annotation, label, namespace_of};
use super::{Cluster, ClusterError, Observed, Wanted, WantedState};

/// How the usual enforcers of network policies mark their pods.
const ENFORCERS: [(&str, &str); 6] = [
    ("k8s-app=calico-node", "Calico"),
    ("k8s-app=cilium", "Cilium"),
    ("app=antrea", "Antrea"),
    ("k8s-app=kube-router", "kube-router"),
    ("name=weave-net", "Weave Net"),
    ("k8s-app=aws-node", "Amazon VPC CNI"),
];

/// Objects in one answer.
const PAGE: u32 = 500;

/// A container that the cluster holds something of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub container: String,
    /// Its workspace's id.
    pub workspace: String,
    /// Its owner's id.
    pub owner: String,
}

/// What became of garbage.
#[derive(Debug)]
pub struct Collected {
    /// The container that nobody wants.
    pub container: String,
    /// How far its removal is.
    pub observed: Result<Observed, ClusterError>,
}

impl Cluster {
    /// Every container of which there is a namespace or a kept volume.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub async fn known(&self) -> Result<Vec<Known>, ClusterError> {
        let mut known = BTreeMap::new();
        for meta in self.marked::<Namespace>(self.all()).await? {
            let fits = |one: &Known| namespace_of(&one.container) == meta.name;
            if let Some(one) = self.marks(&meta).filter(fits) {
                known.insert(one.container.clone(), one);
            }
        }
        if self.settings.free_namespaces {
            for meta in self.marked::<PersistentVolume>(self.all()).await? {
                if let Some(one) = self.marks(&meta) {
                    known.insert(one.container.clone(), one);
                }
            }
        }
        Ok(known.into_values().collect())
    }

    /// Takes one step to remove every known container whose id is not in `rows`. With its data: `rows` has to hold every
    /// container of the database, in whatever state.
    ///
    /// # Errors
    /// [`ClusterError`] when nothing can be listed; that of one container is in its [`Collected`].
    pub async fn collect(&self, rows: &HashSet<String>) -> Result<Vec<Collected>, ClusterError> {
        let mut collected = Vec::new();
        for one in self.known().await? {
            if rows.contains(&one.container) {
                continue;
            }
            let wanted = Wanted {
                container: one.container,
                workspace: one.workspace,
                owner: one.owner,
                state: WantedState::Deleted,
            };
            let observed = self.converge(&wanted).await;
            tracing::info!(container = %wanted.container, "in the cluster and not in the database; being removed");
            collected.push(Collected {
                container: wanted.container,
                observed,
            });
        }
        Ok(collected)
    }

    /// Who enforces network policies, as far as pods of the cluster show it.
    ///
    /// # Errors
    /// [`ClusterError`]
    pub async fn enforcer(&self) -> Result<Option<String>, ClusterError> {
        for (label, name) in ENFORCERS {
            let one = ListParams::default().labels(label).limit(1);
            let pods = self.all::<Pod>();
            let found = self
                .read("listing pods of enforcers", pods.list_metadata(&one))
                .await?;
            if !found.items.is_empty() {
                return Ok(Some(name.to_owned()));
            }
        }
        Ok(None)
    }

    fn marks(&self, meta: &ObjectMeta) -> Option<Known> {
        Some(Known {
            container: self.labels.owned(meta)?,
            workspace: label(meta, WORKSPACE)?.to_owned(),
            owner: annotation(meta, OWNER)?.to_owned(),
        })
    }

    /// Metadata of all objects of a kind with the installation's labels.
    async fn marked<K>(&self, api: Api<K>) -> Result<Vec<ObjectMeta>, ClusterError>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let mut found = Vec::new();
        let mut page = ListParams::default()
            .labels(&self.labels.selector())
            .limit(PAGE);
        loop {
            let what = format!("listing {}", K::plural(&()));
            let answer = self.read(what, api.list_metadata(&page)).await?;
            found.extend(answer.items.into_iter().map(|object| object.metadata));
            match answer.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(found),
            }
        }
    }
}
