//! Values on their way to a container: opened and sealed again by the vault, to the agent's key. At a start, and to a running
//! container when somebody asks.
//!
//! What always holds: a container gets what its owner may have at this moment, whoever asks; the log says so before the
//! vault opens anything; the agent takes all of a delivery or nothing.

pub mod api;
mod contexts;
pub mod ops;
mod record;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use optidev_agent::wire;

use super::model::{DeliveredAs, Scope, Tier, binding, version};
use super::ops::lead;
use super::store;
use crate::authz::authorize_user_now;
use crate::authz::permission::ContainersUse;
use crate::clients::agent::{Agent, AgentError};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::features::containers::Identity;
use crate::features::members;
use crate::kernel::{Code, Problem, SecretId};
use crate::store::{Grant, Unaudited};
use crate::vault::{DeliverItem, Sealed, WrappedKey};
use contexts::{ByName, Contexts, Stock};

/// Who wants a delivery.
#[derive(Clone, Copy)]
pub enum By<'a> {
    /// A container that starts.
    Start,
    /// A person, of whom the log tells then.
    Request(&'a Ctx),
}

/// Why nothing was delivered.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The agent.
    #[error("{0}")]
    Agent(#[from] AgentError),
    /// The owner may not have it (any more).
    #[error("{}", .0.detail)]
    Owner(Problem),
    /// The database or the vault.
    #[error("{}", .0.detail)]
    Server(Problem),
}

impl From<Problem> for DeliveryError {
    fn from(problem: Problem) -> Self {
        Self::Server(problem)
    }
}

impl From<DeliveryError> for Problem {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Agent(error) => error.into(),
            DeliveryError::Owner(problem) | DeliveryError::Server(problem) => problem,
        }
    }
}

/// Gives a container all secrets that its owner may have in it, in the place of all that it was given before: the
/// workspace's, those of projects in their folders, and the owner's own. Only the agent that said `hello` can open them.
///
/// # Errors
/// [`DeliveryError`]; the container has what it had then.
pub async fn deliver(
    services: &Services,
    who: Identity,
    agent: &Agent,
    hello: &wire::Hello,
    by: By<'_>,
) -> Result<(), DeliveryError> {
    let to = Recipient::of(who, hello)?;
    // What the owner may do is what their container may do: read now, as for a request of theirs.
    let grant = authorize_user_now::<ContainersUse>(&services.store, who.owner, who.workspace)
        .await
        .map_err(|error| match Problem::from(error) {
            denied if matches!(denied.code, Code::NotFound | Code::Forbidden) => {
                DeliveryError::Owner(denied)
            }
            problem => DeliveryError::Server(problem),
        })?;
    let tx = services
        .store
        .scoped_read(&grant)
        .await
        .map_err(Problem::from)?;
    let owners = [who.owner].into();
    let contexts = Stock::read(&tx, &owners).await.map_err(Problem::from)?;
    let contexts = contexts.of(who.owner);
    drop(tx);
    // Before the values leave the vault: what was delivered can only be told too often, never too seldom.
    tell(services, &grant, who, &contexts, by).await?;
    let sealed = seal(services, &grant, &contexts, &to).await?;
    agent.put_environment(&sealed).await?;
    if let Err(error) = note(services, &grant, who, &contexts).await {
        // It has them. That it is shown as one that has old ones is put right by the next delivery.
        tracing::warn!(container = %who.container, %error, "what was delivered cannot be noted");
    }
    Ok(())
}

/// The one start of one agent that can open a delivery.
struct Recipient<'a> {
    who: Identity,
    boot_id: &'a str,
    key: [u8; 32],
}

impl<'a> Recipient<'a> {
    fn of(who: Identity, hello: &'a wire::Hello) -> Result<Self, AgentError> {
        let key = STANDARD.decode(&hello.hpke_public_key).ok();
        let key: Option<[u8; 32]> = key.and_then(|bytes| bytes.try_into().ok());
        let key = key.ok_or_else(|| {
            AgentError::Protocol("hpke_public_key is not 32 bytes in base64".to_owned())
        })?;
        let hex = |text: &str| text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit());
        if !hex(&hello.boot_id) {
            return Err(AgentError::Protocol(
                "boot_id is not 32 hex digits".to_owned(),
            ));
        }
        Ok(Self {
            who,
            boot_id: &hello.boot_id,
            key,
        })
    }

    /// Binds to this container, this start of its agent and the place in it: a delivery recorded earlier does not open, nor
    /// one of another place.
    fn info(&self, place: &str) -> String {
        let (container, boot) = (self.who.container, self.boot_id);
        format!("optidev environment v2 {container} {boot} {place}")
    }
}

/// Writes what is delivered into the audit log.
async fn tell(
    services: &Services,
    grant: &Grant<ContainersUse>,
    who: Identity,
    contexts: &Contexts,
    by: By<'_>,
) -> Result<(), Problem> {
    let secrets = contexts.secrets();
    if secrets.is_empty() && matches!(by, By::Start) {
        return Ok(());
    }
    let (mut names, mut own) = (Vec::new(), 0_usize);
    for row in secrets.values() {
        match Scope::of(row) {
            Scope::Workspace => names.push(row.name.clone()),
            Scope::Project(project) => {
                let folder = contexts.folder(project).unwrap_or_default();
                names.push(format!("{folder}/{}", row.name));
            }
            Scope::Own => own += 1,
        }
    }
    names.sort();
    let before = match by {
        By::Start => "",
        By::Request(_) => "while it runs:",
    };
    let lead = lead(before, names.len(), own);
    let entries = audit::in_parts(&lead, &names, |detail| match by {
        By::Start => crate::store::Entry {
            actor: Some(who.owner),
            ..audit::by_server(services, Action::SecretDeliver, who.container, detail)
        },
        By::Request(ctx) => audit::entry(ctx, Action::SecretDeliver, who.container, detail),
    });
    let tx = services.store.scoped(grant).await?;
    tx.commit(entries).await?;
    Ok(())
}

async fn seal(
    services: &Services,
    grant: &Grant<ContainersUse>,
    contexts: &Contexts,
    to: &Recipient<'_>,
) -> Result<wire::Environment, Problem> {
    // Key and values of one moment, and of the last: a rotation changes both.
    let tx = services.store.scoped_snapshot(grant).await?;
    let key = members::key_in(&tx).await?;
    let values = contexts::values(&tx, &contexts.secrets()).await?;
    drop(tx);
    let sealer = Sealer {
        services,
        key,
        values,
        to,
    };
    let workspace = sealer.context("workspace", &contexts.workspace).await?;
    let mut projects = BTreeMap::new();
    for (project, set) in &contexts.projects {
        let sealed = sealer.context(&project.id.to_string(), set).await;
        let sealed = sealed.map_err(|problem| of_project(&project.folder, problem))?;
        projects.insert(project.folder.clone(), sealed);
    }
    Ok(wire::Environment {
        workspace,
        projects,
    })
}

/// Says in which project something is not right that a person can change.
fn of_project(folder: &str, problem: Problem) -> Problem {
    if problem.cause.is_some() {
        return problem;
    }
    Problem {
        detail: format!("In the project folder {folder}: {}", problem.detail).into(),
        ..problem
    }
}

struct Sealer<'a> {
    services: &'a Services,
    key: WrappedKey,
    values: BTreeMap<SecretId, version::Model>,
    to: &'a Recipient<'a>,
}

impl Sealer<'_> {
    async fn context(&self, place: &str, set: &ByName) -> Result<wire::Context, Problem> {
        let (mut items, mut files) = (Vec::with_capacity(set.len()), BTreeMap::new());
        for (name, row) in set {
            let Some(stored) = self.values.get(&row.id) else {
                // Deleted since the list was read: no longer the workspace's.
                continue;
            };
            items.push(DeliverItem {
                env: name.clone(),
                // Its own tier: the secret's may have become a stricter one since.
                binding: binding(
                    self.to.who.workspace,
                    row.id,
                    row.version,
                    name,
                    Tier::stored(&stored.tier),
                ),
                sealed: Sealed(stored.sealed.clone()),
                expand: row.expand,
            });
            match DeliveredAs::stored(&row.delivered_as) {
                DeliveredAs::Environment => None,
                DeliveredAs::File => files.insert(name.clone(), wire::FileForm::File),
                DeliveredAs::Both => files.insert(name.clone(), wire::FileForm::Both),
            };
        }
        let (info, vault) = (self.to.info(place), &self.services.vault);
        let sealed = vault
            .deliver(&self.key, items, self.to.key, &info, Vec::new())
            .await?;
        Ok(wire::Context {
            sealed: wire::Sealed {
                enc: STANDARD.encode(sealed.enc),
                ciphertext: STANDARD.encode(sealed.ciphertext),
            },
            info,
            files,
        })
    }
}

/// Notes when each secret was delivered, and what the container has now, so that one sees later what of it is another one by
/// then.
async fn note(
    services: &Services,
    grant: &Grant<ContainersUse>,
    who: Identity,
    contexts: &Contexts,
) -> Result<(), crate::store::StoreError> {
    let tx = services.store.scoped(grant).await?;
    let now_ms = services.clock.now_ms();
    let ids = contexts.secrets().into_keys().collect();
    store::delivered(&tx, ids, now_ms).await?;
    record::write(&tx, who.container, &record::all_of(contexts), now_ms).await?;
    tx.commit_unaudited(Unaudited::Observed).await
}
