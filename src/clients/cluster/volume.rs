//! The home volume: its claim, and how it outlives its namespace.
//!
//! A claim lives in a namespace and goes with it; the PersistentVolume is the cluster's. Before a namespace is freed, the
//! volume gets reclaim policy `Retain`, our labels and the owner's mark. It is then Released and still names the old claim,
//! so that nobody else can bind it. When the container starts again, only the *uid* of that claim is taken out: the volume
//! is reserved for a claim `home` in the namespace of the same name, never free for any claim. The new claim names the
//! volume in turn. On deletion the volume gets its own reclaim policy back, so that what is behind it goes as well.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::ListParams;
use serde_json::{Value, json};

use super::converge::REMOVING;
use super::names::{CLAIM, OWNER, RECLAIM, annotation};
use super::objects::{self, Of};
use super::{Cluster, ClusterError, Observed, Phase, Start, Step};

/// Whether a volume is safe from its namespace's end.
pub(super) enum Kept {
    /// It is, or there is none with data.
    Yes,
    /// Not yet: look again.
    NotYet,
}

impl Cluster {
    /// Makes the claim, bound to the kept volume if there is one. Answers what to say while that has to wait.
    pub(super) async fn volume(
        &self,
        of: Of<'_>,
        start: &Start,
        there: Option<PersistentVolumeClaim>,
    ) -> Result<Option<Observed>, ClusterError> {
        let claims = self.api::<PersistentVolumeClaim>(of.namespace);
        let size = objects::gib(start.class.volume_gib);
        if let Some(there) = there {
            let uid = self.own_uid(of, "PersistentVolumeClaim", Some(&there.metadata))?;
            if grows(&there, start.class.volume_gib) {
                let volume = there.spec.as_ref().and_then(|spec| {
                    Some((
                        spec.volume_name.as_deref()?,
                        spec.storage_class_name.as_deref(),
                    ))
                });
                let made = objects::claim(of, &size, volume);
                self.apply(Step::Volume, &claims, made, uid).await?;
            }
            return Ok(None);
        }
        let kept = self.kept(&of.wanted.container).await?;
        let made = match kept.as_slice() {
            [] => objects::claim(of, &size, None),
            [volume] => {
                let Some((name, class, capacity)) = self.reserve(of, volume).await? else {
                    let waiting = Observed::at(Phase::Preparing, Some(Step::Volume));
                    return Ok(Some(waiting.again(REMOVING)));
                };
                // A claim larger than its volume is never bound; it grows once it is.
                let size = if mib_of(&capacity) < Some(u64::from(start.class.volume_gib) * 1024) {
                    capacity
                } else {
                    size
                };
                objects::claim(of, &size, Some((&name, Some(&class))))
            }
            several => {
                return Err(ClusterError::Setting(format!(
                    "There are {} kept volumes of {}; exactly one can be its home. Remove the label \
                     optidev.dev/container from the others.",
                    several.len(),
                    of.wanted.container
                )));
            }
        };
        self.apply(Step::Volume, &claims, made, None).await?;
        Ok(None)
    }

    /// Keeps the claim's volume from going with its namespace.
    pub(super) async fn keep(
        &self,
        of: Of<'_>,
        claim: Option<PersistentVolumeClaim>,
    ) -> Result<Kept, ClusterError> {
        let Some(claim) = claim else {
            return Ok(Kept::Yes);
        };
        self.own_uid(of, "PersistentVolumeClaim", Some(&claim.metadata))?;
        let Some(name) = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref())
        else {
            // Never bound: nothing was ever written.
            return Ok(Kept::Yes);
        };
        let volumes = self.all::<PersistentVolume>();
        let Some(volume) = self.find(&volumes, name).await? else {
            return Err(ClusterError::Setting(format!(
                "The volume \"{name}\" of {} is not in the cluster any more; its namespace is kept. Whoever looks after \
                 the cluster has to restore it, or delete the container.",
                of.wanted.container
            )));
        };
        let spec = volume.spec.clone().unwrap_or_default();
        let holder = spec.claim_ref.unwrap_or_default();
        if holder.uid.is_none() {
            // Reserved, and about to be bound.
            return Ok(Kept::NotYet);
        }
        if holder.uid != claim.metadata.uid {
            return Err(ClusterError::Foreign {
                kind: "PersistentVolume",
                name: name.to_owned(),
            });
        }
        let marked = self.labels.owned(&volume.metadata).as_deref() == Some(&of.wanted.container);
        let policy = spec.persistent_volume_reclaim_policy.unwrap_or_default();
        if marked && policy == "Retain" {
            return Ok(Kept::Yes);
        }
        let was = annotation(&volume.metadata, RECLAIM).unwrap_or(&policy);
        let change = json!({
            "metadata": {
                "resourceVersion": volume.metadata.resource_version,
                "labels": self.labels.of(&of.wanted.container, &of.wanted.workspace),
                "annotations": { OWNER: of.wanted.owner, RECLAIM: was },
            },
            "spec": { "persistentVolumeReclaimPolicy": "Retain" },
        });
        let after: PersistentVolume = self.merge(Step::Volume, &volumes, name, change).await?;
        let policy = after
            .spec
            .and_then(|spec| spec.persistent_volume_reclaim_policy);
        Ok(if policy.as_deref() == Some("Retain") {
            Kept::Yes
        } else {
            Kept::NotYet
        })
    }

    /// Makes a kept volume bindable by this container's next claim, and by no other. Answers its name, StorageClass and
    /// size; none while the cluster has not let go of the old claim.
    async fn reserve(
        &self,
        of: Of<'_>,
        volume: &PersistentVolume,
    ) -> Result<Option<(String, String, String)>, ClusterError> {
        let name = volume.metadata.name.clone().unwrap_or_default();
        let spec = volume.spec.clone().unwrap_or_default();
        let holder = spec.claim_ref.unwrap_or_default();
        let same_place = holder.namespace.as_deref() == Some(of.namespace)
            && holder.name.as_deref() == Some(CLAIM);
        if !same_place {
            return Err(ClusterError::Foreign {
                kind: "PersistentVolume",
                name,
            });
        }
        if holder.uid.is_some() {
            let phase = volume
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            if phase == Some("Bound") {
                return Ok(None);
            }
            let change = json!({
                "metadata": { "resourceVersion": volume.metadata.resource_version },
                "spec": { "claimRef": { "uid": Value::Null, "resourceVersion": Value::Null } },
            });
            let volumes = self.all::<PersistentVolume>();
            let _: PersistentVolume = self.merge(Step::Volume, &volumes, &name, change).await?;
        }
        let capacity = spec
            .capacity
            .and_then(|capacity| capacity.get("storage").map(|size| size.0.clone()))
            .unwrap_or_default();
        // A claim without a class would get the cluster's default; the empty one means none.
        Ok(Some((
            name,
            spec.storage_class_name.unwrap_or_default(),
            capacity,
        )))
    }

    /// Deletes kept volumes of a container whose namespace is gone. Answers whether none is left.
    pub(super) async fn dispose(&self, container: &str) -> Result<bool, ClusterError> {
        let kept = self.kept(container).await?;
        let volumes = self.all::<PersistentVolume>();
        for volume in &kept {
            let name = volume.metadata.name.as_deref().unwrap_or_default();
            let policy = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
            let was = annotation(&volume.metadata, RECLAIM).unwrap_or("Delete");
            if policy != Some(was) {
                // With `Retain` only the object would go, and the data would stay on its disk.
                let change = json!({
                    "metadata": { "resourceVersion": volume.metadata.resource_version },
                    "spec": { "persistentVolumeReclaimPolicy": was },
                });
                let _: PersistentVolume = self.merge(Step::Volume, &volumes, name, change).await?;
            }
            if volume.metadata.deletion_timestamp.is_none() {
                self.remove(Step::Volume, &volumes, name, volume.metadata.uid.as_deref())
                    .await?;
            }
        }
        Ok(kept.is_empty())
    }

    /// Volumes that were kept for a container: by label and owner both.
    async fn kept(&self, container: &str) -> Result<Vec<PersistentVolume>, ClusterError> {
        if !self.settings.free_namespaces {
            return Ok(Vec::new());
        }
        let volumes = self.all::<PersistentVolume>();
        let of_container = ListParams::default().labels(&self.labels.selector_of(container));
        let listed = self
            .read("listing PersistentVolumes", volumes.list(&of_container))
            .await?;
        Ok(listed
            .items
            .into_iter()
            .filter(|volume| self.labels.owned(&volume.metadata).as_deref() == Some(container))
            .collect())
    }
}

/// Whether a claim asks for less than `gib`. It never shrinks.
fn grows(claim: &PersistentVolumeClaim, gib: u32) -> bool {
    let asks = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
    let bound = claim
        .status
        .as_ref()
        .is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    bound && asks.is_some_and(|asks| mib_of(&asks.0) < Some(u64::from(gib) * 1024))
}

/// A size in MiB, rounded down; none when it is written in a way that we do not know.
fn mib_of(size: &str) -> Option<u64> {
    let digits = size
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(size.len());
    let (number, unit) = size.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let bytes = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    Some(number.checked_mul(bytes)? >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(mib_of("5Gi"), Some(5120));
        assert_eq!(mib_of("1Ti"), Some(1024 * 1024));
        assert_eq!(mib_of("1500Mi"), Some(1500));
        assert_eq!(mib_of("1048576"), Some(1));
        assert_eq!(mib_of("10G"), Some(9536));
        assert_eq!(mib_of("1e3"), None);
        assert_eq!(mib_of(""), None);
    }

    #[test]
    fn claims_grow_when_bound_and_never_shrink() {
        let claim = |size: &str, phase: &str| -> PersistentVolumeClaim {
            serde_json::from_value(json!({
                "metadata": { "name": "home" },
                "spec": { "resources": { "requests": { "storage": size } } },
                "status": { "phase": phase },
            }))
            .unwrap()
        };
        assert!(grows(&claim("5Gi", "Bound"), 6));
        assert!(!grows(&claim("5Gi", "Bound"), 5));
        assert!(!grows(&claim("5Gi", "Bound"), 4));
        assert!(!grows(&claim("5Gi", "Pending"), 6));
    }
}
