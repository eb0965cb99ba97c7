//! The proof of isolation on demand: two pods that run nothing else, made as containers are and gone afterwards. One answers
//! whoever reaches it; the other tries it and everything else that no container may reach.
//!
//! That silence means something: the one that is tried says itself that it answers, what else is tried is known to listen, and
//! the one allowed destination is reached before and after.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use optidev_agent::wire::{Isolation, Probe, ProbeKind, Probes};
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize};

use super::keeper::Keeper;
use super::settings;
use crate::clients::cluster::{
    self, Class, ClusterError, OTHER_PORT, Observed, Phase, WantedState, Work,
};
use crate::kernel::{ContainerId, SecretString};
use crate::store::{Store, StoreError, SystemPurpose, Unaudited};

/// Between two looks whether a proof is asked for.
const POLL: Duration = Duration::from_secs(1);
/// Between two proofs that nobody asked for.
const EVERY_MS: i64 = 24 * 3_600_000;
/// For each of the two pods to come up, and for both to go.
const LIMIT: Duration = Duration::from_secs(120);
/// Between two looks at a pod.
const LOOK: Duration = Duration::from_millis(300);
/// The workspace and the owner that the pods are marked with: no id has this form.
pub(super) const MARK: &str = "verification";

/// The table `isolation_proof`.
mod row {
    use sea_orm::entity::prelude::*;

    /// Its only row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "isolation_proof")]
    pub struct Model {
        /// Always 1.
        #[sea_orm(primary_key, auto_increment = false)]
        pub one: i64,
        /// When a server asked last.
        pub asked_at_ms: i64,
        /// When the last proof ended; 0 for never.
        pub checked_at_ms: i64,
        /// Whether it held.
        pub proven: bool,
        /// Who enforces network policies.
        pub enforcer: String,
        /// `Found` as JSON.
        pub found: String,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The last proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = IsolationProof)]
pub struct Proof {
    /// When one was asked for last.
    pub asked_at_ms: i64,
    /// When it ended.
    pub checked_at_ms: i64,
    /// Whether everything was as it should be.
    pub proven: bool,
    /// Who enforces network policies, as far as can be seen.
    pub enforcer: String,
    /// What was tried.
    pub found: Found,
}

/// What a proof found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = IsolationFound)]
pub struct Found {
    /// Why there was no proof at all.
    pub problem: Option<String>,
    /// What was tried.
    pub tried: Vec<Tried>,
}

/// One destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = IsolationTried)]
pub struct Tried {
    /// Which.
    pub name: String,
    /// Where.
    pub address: String,
    /// `blocked` or `reachable`.
    pub expected: String,
    /// Whether it was so.
    pub holds: bool,
    /// What came back.
    pub detail: String,
}

/// The last proof; none before the first.
///
/// # Errors
/// [`StoreError`]
pub async fn last_proof(store: &Store) -> Result<Option<Proof>, StoreError> {
    let row = read(store).await?.filter(|row| row.checked_at_ms > 0);
    Ok(row.map(|row| Proof {
        asked_at_ms: row.asked_at_ms,
        checked_at_ms: row.checked_at_ms,
        proven: row.proven,
        enforcer: row.enforcer,
        found: serde_json::from_str(&row.found).unwrap_or_default(),
    }))
}

/// Asks the controller for a proof.
///
/// # Errors
/// [`StoreError`]
pub async fn ask_for_proof(store: &Store, now_ms: i64) -> Result<(), StoreError> {
    let values = row::ActiveModel {
        asked_at_ms: Set(now_ms),
        ..Default::default()
    };
    write(store, values).await
}

async fn read(store: &Store) -> Result<Option<row::Model>, StoreError> {
    let tx = store.system(SystemPurpose::ContainerScan).await?;
    tx.one(row::Entity::find_by_id(1_i64)).await
}

async fn write(store: &Store, values: row::ActiveModel) -> Result<(), StoreError> {
    use sea_orm::ColumnTrait;
    let tx = store.system(SystemPurpose::ContainerObserve).await?;
    tx.update_where::<row::Entity>(row::Column::One.eq(1_i64), values)
        .await?;
    tx.commit_unaudited(Unaudited::Observed).await
}

/// Why a proof could not be made.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("{0}")]
    Said(String),
    #[error("{0}")]
    Cluster(#[from] ClusterError),
}

impl Keeper {
    /// Makes a proof when one is asked for, and one each day. Until it is dropped.
    pub(super) async fn verify(&self) {
        let parts = self.parts();
        loop {
            match read(&parts.store).await {
                Ok(Some(row)) => {
                    let old = parts.clock.now_ms() - row.checked_at_ms > EVERY_MS;
                    if row.asked_at_ms > row.checked_at_ms || old {
                        self.prove().await;
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot look whether a proof is asked for"),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn prove(&self) {
        let parts = self.parts();
        let [target, prober] =
            [(); 2].map(|()| ContainerId::new(&parts.clock, &parts.rng).to_string());
        let proving = |ids: &[&String]| {
            let mut proving = parts.proving.lock().unwrap_or_else(PoisonError::into_inner);
            *proving = ids.iter().map(|id| id.to_string()).collect();
        };
        proving(&[&target, &prober]);
        let result = self.try_prove(&target, &prober).await;
        for id in [&target, &prober] {
            if let Err(error) = self
                .until(
                    id,
                    || WantedState::Deleted,
                    |seen| seen.phase == Phase::Gone,
                )
                .await
            {
                tracing::warn!(container = %id, %error, "a pod of the proof is not gone yet");
            }
        }
        proving(&[]);
        let (proven, found) = match result {
            Ok(isolation) => (isolation.proven, found(&isolation)),
            Err(error) => {
                let problem = Some(error.to_string());
                (
                    false,
                    Found {
                        problem,
                        tried: Vec::new(),
                    },
                )
            }
        };
        if proven {
            tracing::info!("isolation between pods is proven");
        } else {
            tracing::error!(?found, "isolation-unproven");
        }
        let values = row::ActiveModel {
            checked_at_ms: Set(parts.clock.now_ms()),
            proven: Set(proven),
            enforcer: Set(self.enforcer().await),
            found: Set(serde_json::to_string(&found).unwrap_or_default()),
            ..Default::default()
        };
        if let Err(error) = write(&parts.store, values).await {
            tracing::warn!(%error, "the proof cannot be written");
        }
    }

    async fn try_prove(&self, target: &str, prober: &str) -> Result<Isolation, VerifyError> {
        let up = self
            .until(
                target,
                || self.pod(Work::Echo),
                |seen| seen.phase == Phase::Up,
            )
            .await?;
        let address = up
            .ip
            .ok_or_else(|| VerifyError::Said("the pod that is tried has no address".to_owned()))?;
        let facts = self.parts().cluster.facts(prober).await?;
        let mut plan: Probes = settings::probes_of(self.parts().cluster.settings(), &facts);
        let agent = self.parts().config.agent_port;
        for (port, tcp, udp) in [
            (agent, "other-pod-agent-tcp", "other-pod-agent-udp"),
            (OTHER_PORT, "other-pod-tcp", "other-pod-udp"),
        ] {
            let there = std::net::SocketAddr::new(address, port).to_string();
            plan.probes
                .push(settings::blocked(tcp, ProbeKind::Tcp, &there));
            plan.probes
                .push(settings::blocked(udp, ProbeKind::Udp, &there));
        }
        // Both pods are the same program: what answers here answers there.
        for (name, kind) in [("own-tcp", ProbeKind::Tcp), ("own-udp", ProbeKind::Udp)] {
            plan.probes.push(Probe {
                expect: optidev_agent::wire::Expectation::Reachable,
                ..settings::blocked(name, kind, &format!("127.0.0.1:{OTHER_PORT}"))
            });
        }
        let plan = serde_json::to_string(&plan).unwrap_or_default();
        let over = self
            .until(
                prober,
                || self.pod(Work::Probe(plan.clone())),
                |seen| seen.phase == Phase::Ended,
            )
            .await?;
        let report = over.report.ok_or_else(|| {
            let why = over.reason.unwrap_or_default();
            VerifyError::Said(format!("the pod that tries has reported nothing: {why}"))
        })?;
        serde_json::from_str(&report)
            .map_err(|error| VerifyError::Said(format!("its report cannot be read: {error}")))
    }

    /// The smallest class that the settings have, of the agent's own image.
    fn pod(&self, work: Work) -> WantedState {
        WantedState::Running(Box::new(cluster::Start {
            number: 1,
            token: SecretString::new(String::new()),
            enrolled: false,
            class: Class {
                name: MARK.to_owned(),
                cpu_request_milli: 20,
                cpu_limit_milli: 500,
                memory_mib: 64,
                ephemeral_mib: 128,
                volume_gib: 1,
                gpu: None,
            },
            image: self.parts().cluster.settings().agent_image.clone(),
            work,
        }))
    }

    /// Looks again and again until it is so.
    async fn until(
        &self,
        id: &str,
        state: impl Fn() -> WantedState,
        is_so: impl Fn(&Observed) -> bool,
    ) -> Result<Observed, VerifyError> {
        let since = Instant::now();
        loop {
            let wanted = cluster::Wanted {
                container: id.to_owned(),
                workspace: MARK.to_owned(),
                owner: MARK.to_owned(),
                state: state(),
            };
            let said = match self.parts().cluster.converge(&wanted).await {
                Ok(observed) if is_so(&observed) => return Ok(observed),
                Ok(observed) if observed.permanent => {
                    return Err(VerifyError::Said(observed.reason.unwrap_or_default()));
                }
                Ok(observed) => observed
                    .reason
                    .unwrap_or_else(|| format!("it is {}", observed.phase.as_str())),
                Err(error) if error.is_permanent() => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if since.elapsed() > LIMIT {
                return Err(VerifyError::Said(format!(
                    "a pod of the proof was not so far within {} s: {said}",
                    LIMIT.as_secs()
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn enforcer(&self) -> String {
        if !self.parts().config.enforcer.is_empty() {
            return self.parts().config.enforcer.clone();
        }
        match self.parts().cluster.enforcer().await {
            Ok(Some(name)) => name,
            Ok(None) => "not recognised".to_owned(),
            Err(error) => {
                tracing::warn!(%error, "cannot look who enforces network policies");
                "not known".to_owned()
            }
        }
    }
}

fn found(isolation: &Isolation) -> Found {
    let tried = isolation.probes.iter().map(|probe| Tried {
        name: probe.name.clone(),
        address: probe.address.clone(),
        expected: match probe.expected {
            optidev_agent::wire::Expectation::Blocked => "blocked".to_owned(),
            optidev_agent::wire::Expectation::Reachable => "reachable".to_owned(),
        },
        holds: probe.holds(),
        detail: probe.detail.clone(),
    });
    Found {
        problem: None,
        tried: tried.collect(),
    }
}
