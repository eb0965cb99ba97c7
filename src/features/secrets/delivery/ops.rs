//! Delivery to running containers on request, and which of them have something old.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use super::contexts::Stock;
use super::record::{self, OutdatedSecret};
use super::{By, DeliveryError, deliver};
use crate::authz::PermissionId;
use crate::authz::permission::{ContainersUse, SecretsRead, SecretsWrite};
use crate::clients::agent::AgentError;
use crate::context::Ctx;
use crate::features::containers::{Controller, Identity, Known, Owner, known};
use crate::features::members;
use crate::features::secrets::ops::may_write;
use crate::kernel::{Code, ContainerId, Problem, UserId, WorkspaceId};
use crate::store::{Grant, Permission};

/// How many containers are delivered to at once.
const AT_ONCE: usize = 4;
/// Longest wait for earlier deliveries to a container.
const LONGEST_TURN: Duration = Duration::from_secs(3);

/// What delivers to running containers. Cheap to clone.
#[derive(Clone)]
pub struct Deliveries {
    controller: Arc<Controller>,
    /// One delivery at a time to a container: else the one that read first could come last.
    turns: Arc<Mutex<HashMap<ContainerId, Weak<tokio::sync::Mutex<()>>>>>,
}

impl Deliveries {
    /// Delivers to what the controller makes run.
    pub fn new(controller: Arc<Controller>) -> Self {
        Self {
            controller,
            turns: Arc::default(),
        }
    }

    /// What makes containers run.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// The turn to deliver to a container; none when those before it take too long, because its agent does not answer.
    async fn turn(&self, container: ContainerId) -> Option<OwnedMutexGuard<()>> {
        let turns = self.turns_of(container);
        tokio::time::timeout(LONGEST_TURN, turns.lock_owned())
            .await
            .ok()
    }

    fn turns_of(&self, container: ContainerId) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(&container).and_then(Weak::upgrade) {
            return turns;
        }
        all.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::default();
        all.insert(container, Arc::downgrade(&turns));
        turns
    }
}

/// Whose containers are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// The caller's own.
    Mine,
    /// Those of all members of the workspace.
    All,
}

/// What came of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// The container has them: files at once, variables for processes that start from now on.
    Delivered,
    /// It does not run. It gets them when it starts.
    NotRunning,
    /// It has what it had before; `reason` says why.
    Failed,
}

/// A container, and what came of the delivery to it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct DeliveredTo {
    /// `ctr_...`
    pub container: ContainerId,
    /// Whom it belongs to.
    pub owner: Owner,
    /// What came of it.
    pub outcome: DeliveryOutcome,
    /// Why it failed, for people.
    pub reason: Option<String>,
}

/// Delivers anew: to the caller's own container, or to all of the workspace that run. Each gets what its own owner may have.
///
/// # Errors
/// 404, 403. That a delivery failed is told of its container.
pub async fn deliver_now(
    ctx: &Ctx,
    deliveries: &Deliveries,
    workspace: WorkspaceId,
    whose: Whose,
) -> Result<Vec<DeliveredTo>, Problem> {
    let all = match whose {
        Whose::Mine => {
            let grant = ctx.authorize::<ContainersUse>(workspace).await?;
            let mut all = containers_of(ctx, &grant).await?;
            all.retain(|one| one.identity().owner == grant.user());
            all
        }
        Whose::All => {
            let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
            containers_of(ctx, &grant).await?
        }
    };
    let names = names(ctx, all.iter().map(|one| one.identity().owner)).await?;
    let each = stream::iter(all).map(|one| deliver_one(ctx, deliveries, one));
    let outcomes: Vec<(Identity, DeliveryOutcome, Option<String>)> =
        each.buffered(AT_ONCE).collect().await;
    let told = outcomes
        .into_iter()
        .map(|(who, outcome, reason)| DeliveredTo {
            container: who.container,
            owner: owner(&names, who.owner),
            outcome,
            reason,
        });
    Ok(told.collect())
}

async fn deliver_one(
    ctx: &Ctx,
    deliveries: &Deliveries,
    container: Known,
) -> (Identity, DeliveryOutcome, Option<String>) {
    let who = container.identity();
    if !container.is_running(Some(&deliveries.controller)) {
        return (who, DeliveryOutcome::NotRunning, None);
    }
    let Some(_turn) = deliveries.turn(who.container).await else {
        let reason =
            "Another delivery to it is still under way. Try again in a few seconds.".to_owned();
        return (who, DeliveryOutcome::Failed, Some(reason));
    };
    let delivered = async {
        let agent = container.agent(&deliveries.controller).await?;
        let hello = agent.hello().await?;
        deliver(&ctx.services, who, &agent, &hello, By::Request(ctx)).await
    }
    .await;
    match delivered {
        Ok(()) => (who, DeliveryOutcome::Delivered, None),
        Err(error) => {
            let others = for_others(&error);
            tracing::warn!(container = %who.container, error = %others, "secrets could not be delivered on request");
            let reason = if who.owner == ctx.actor.user() {
                Problem::from(error).detail.into_owned()
            } else {
                others
            };
            (who, DeliveryOutcome::Failed, Some(reason))
        }
    }
}

/// Why it failed, for anybody but the container's owner. What an agent says is the owner's doing, and what the vault says may name
/// what the owner has of their own.
fn for_others(error: &DeliveryError) -> String {
    match error {
        DeliveryError::Agent(AgentError::Refused { .. }) => {
            "The agent in the container refused them. Its owner sees why when they deliver; to stop and start the container \
             helps."
                .to_owned()
        }
        DeliveryError::Owner(_) => "Its owner may not have a container here any more.".to_owned(),
        DeliveryError::Server(problem) if problem.code != Code::Unavailable => {
            "They cannot be put together. Its owner sees why when they deliver.".to_owned()
        }
        error => error.to_string(),
    }
}

/// What a running container has of the secrets that it should have.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct SecretsInContainer {
    /// `ctr_...`
    pub container: ContainerId,
    /// Whom it belongs to.
    pub owner: Owner,
    /// When something was delivered to it last, milliseconds since the epoch.
    pub delivered_at_ms: Option<i64>,
    /// Whether it has the current version of everything, and nothing else.
    pub current: bool,
    /// What is not current in it.
    pub outdated: Vec<OutdatedSecret>,
    /// How many more are not current that are its owner's own: those are named to nobody else.
    pub outdated_own: usize,
}

/// What running containers have: those of all members for who may set the workspace's secrets, else the caller's own.
/// Without the controller they are those of which it was written last that they run.
///
/// # Errors
/// 404, 403.
pub async fn in_containers(
    ctx: &Ctx,
    controller: Option<&Controller>,
    workspace: WorkspaceId,
) -> Result<Vec<SecretsInContainer>, Problem> {
    let grant = ctx.authorize::<SecretsRead>(workspace).await?;
    // Who may not is answered about their own.
    let all = may_write(ctx, workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let mut running = known(&tx).await?;
    running
        .retain(|one| one.is_running(controller) && (all || one.identity().owner == grant.user()));
    let owners: BTreeSet<UserId> = running.iter().map(|one| one.identity().owner).collect();
    let stock = Stock::read(&tx, &owners).await?;
    let given = record::read(&tx).await?;
    drop(tx);
    let names = names(ctx, owners.into_iter()).await?;
    let nothing = BTreeMap::new();
    let shown = running.iter().map(|one| {
        let who = one.identity();
        let gets = record::all_of(&stock.of(who.owner));
        let (has, delivered_at_ms) = match given.get(&who.container) {
            Some((has, at)) => (has, Some(*at)),
            None => (&nothing, None),
        };
        let outdated = record::outdated(has, &gets, grant.user());
        SecretsInContainer {
            container: who.container,
            owner: owner(&names, who.owner),
            delivered_at_ms,
            current: outdated.named.is_empty() && outdated.others == 0,
            outdated: outdated.named,
            outdated_own: outdated.others,
        }
    });
    Ok(shown.collect())
}

/// Whose containers the caller may deliver to: `None` for nobody's.
pub fn may_deliver(role: crate::authz::Role) -> Option<Whose> {
    if role.allows(PermissionId::SecretsWrite) {
        Some(Whose::All)
    } else {
        role.allows(PermissionId::ContainersUse)
            .then_some(Whose::Mine)
    }
}

async fn containers_of<P: Permission>(ctx: &Ctx, grant: &Grant<P>) -> Result<Vec<Known>, Problem> {
    let tx = ctx.services.store.scoped_read(grant).await?;
    Ok(known(&tx).await?)
}

async fn names(
    ctx: &Ctx,
    owners: impl Iterator<Item = UserId>,
) -> Result<HashMap<UserId, String>, Problem> {
    Ok(members::names(&ctx.services, owners).await?)
}

fn owner(names: &HashMap<UserId, String>, id: UserId) -> Owner {
    Owner {
        id,
        name: names.get(&id).cloned().unwrap_or_default(),
    }
}
