//! The two network policies of a container: put back when they were changed, and said until they certainly hold.

use std::time::Instant;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;

use super::names::{ALLOW, DENY};
use super::objects::{self, Of};
use super::run::{Found, same};
use super::{Cluster, ClusterError, Observed, Phase, SETTLE, Step, reasons};

impl Cluster {
    /// Makes both policies stand. Answers what to say instead of going on: that a running container is unprotected, or
    /// that none may be started.
    pub(super) async fn guard(
        &self,
        of: Of<'_>,
        found: &Found,
    ) -> Result<Option<Observed>, ClusterError> {
        let container = &of.wanted.container;
        let running = found.pod.as_ref().is_some_and(|pod| !reasons::is_over(pod));
        let (mut changed, mut passing) = (Vec::new(), false);
        let mut open = widened(&found.policies);
        for (name, wanted) in [(DENY, objects::deny(of)), (ALLOW, objects::allow(of))] {
            let there = found
                .policies
                .iter()
                .find(|policy| policy.metadata.name.as_deref() == Some(name));
            match self.stand(of, there, &wanted).await {
                Ok(Stood::Already) => {}
                Ok(Stood::PutBack) => changed.push(name),
                Ok(Stood::Not) => {
                    open = Some(format!(
                        "Something in the cluster changes the network policy \"{name}\" of namespace \"{}\" as soon as \
                         it is made. Find what does (an admission webhook?) and exempt OptiDev's namespaces.",
                        of.namespace
                    ));
                }
                Err(ClusterError::Foreign { .. }) if running => {
                    open = Some(format!(
                        "The network policy \"{name}\" of namespace \"{}\" lost OptiDev's labels, so that it is not \
                         put right. Delete it; it is made again.",
                        of.namespace
                    ));
                }
                Err(ClusterError::NotLeader) => return Err(ClusterError::NotLeader),
                // Whatever it was: the policy is known not to stand.
                Err(error) if running => {
                    passing |= !error.is_permanent();
                    open = Some(sentence(&error));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(open) = open {
            let phase = if running {
                Phase::Unprotected
            } else {
                Phase::Preparing
            };
            let mut observed = Observed::at(phase, Some(Step::Policies)).because(open);
            observed.permanent = !passing;
            observed.look_again = passing.then_some(SETTLE);
            return Ok(Some(said_of(observed, found)));
        }
        if !running {
            self.remember(|memory| memory.unprotected.remove(container));
            return Ok(None);
        }
        let since = self.remember(|memory| {
            if !changed.is_empty() {
                let reason = format!(
                    "The network policy \"{}\" was changed or deleted by somebody; it is back, and the container is \
                     cut off until it is in force again.",
                    changed.join("\" and \"")
                );
                memory
                    .unprotected
                    .insert(container.clone(), (Instant::now(), reason));
            }
            memory.unprotected.get(container).cloned()
        });
        let Some((since, reason)) = since else {
            return Ok(None);
        };
        // In the API is not yet in the kernel.
        let left = SETTLE.saturating_sub(since.elapsed());
        if left.is_zero() {
            self.remember(|memory| memory.unprotected.remove(container));
            return Ok(None);
        }
        let observed = Observed::at(Phase::Unprotected, Some(Step::Policies)).because(reason);
        Ok(Some(said_of(observed.again(left), found)))
    }

    /// Makes one policy stand, and reads back that it does.
    async fn stand(
        &self,
        of: Of<'_>,
        there: Option<&NetworkPolicy>,
        wanted: &Value,
    ) -> Result<Stood, ClusterError> {
        self.own_uid(of, "NetworkPolicy", there.map(|policy| &policy.metadata))?;
        let policies = self.api::<NetworkPolicy>(of.namespace);
        let made = match there {
            Some(there)
                if there.metadata.deletion_timestamp.is_none() && same(&there.spec, wanted) =>
            {
                return Ok(Stood::Already);
            }
            Some(there) => {
                self.put_right(Step::Policies, &policies, there, wanted)
                    .await?
            }
            None => {
                self.apply(Step::Policies, &policies, wanted.clone(), None)
                    .await?
            }
        };
        Ok(
            if made.metadata.deletion_timestamp.is_none() && same(&made.spec, wanted) {
                Stood::PutBack
            } else {
                Stood::Not
            },
        )
    }
}

/// An error, with a capital.
fn sentence(error: &ClusterError) -> String {
    let said = error.to_string();
    let mut rest = said.chars();
    rest.next().map_or_else(String::new, |first| {
        format!("{}{}", first.to_uppercase(), rest.as_str())
    })
}

enum Stood {
    Already,
    PutBack,
    /// The API answered with something else than was sent.
    Not,
}

/// A policy that is not ours and allows something: policies add up.
fn widened(policies: &[NetworkPolicy]) -> Option<String> {
    let allows = |policy: &&NetworkPolicy| {
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        let spec = policy.spec.as_ref();
        let ingress = spec.and_then(|spec| spec.ingress.as_ref());
        let egress = spec.and_then(|spec| spec.egress.as_ref());
        name != DENY
            && name != ALLOW
            && (ingress.is_some_and(|rules| !rules.is_empty())
                || egress.is_some_and(|rules| !rules.is_empty()))
    };
    policies.iter().find(allows).map(|policy| {
        format!(
            "The network policy \"{}\" in the container's namespace \"{}\" allows more than OptiDev does. Remove it.",
            policy.metadata.name.as_deref().unwrap_or_default(),
            policy.metadata.namespace.as_deref().unwrap_or_default()
        )
    })
}

/// With the pod's uid and start.
fn said_of(mut observed: Observed, found: &Found) -> Observed {
    if let Some(pod) = &found.pod {
        observed.pod_uid.clone_from(&pod.metadata.uid);
        observed.start = reasons::start_of(pod);
    }
    observed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(value: Value) -> NetworkPolicy {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_policy_of_somebody_else_may_forbid_and_not_allow() {
        let forbids = policy(
            json!({ "metadata": { "name": "theirs", "namespace": "od-x" },
            "spec": { "podSelector": {}, "policyTypes": ["Ingress"] } }),
        );
        assert_eq!(widened(&[forbids]), None);
        for rules in ["ingress", "egress"] {
            let allows = policy(
                json!({ "metadata": { "name": "theirs", "namespace": "od-x" },
                "spec": { "podSelector": {}, rules: [{}] } }),
            );
            let said = widened(&[allows]).unwrap();
            assert!(
                said.contains("\"theirs\"") && said.contains("Remove it"),
                "{said}"
            );
        }
    }
}
