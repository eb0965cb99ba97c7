//! One start of one container, from its volume to its secrets.

use std::time::{Duration, Instant};

use optidev_agent::wire;

use super::progress::Progress;
use super::{Controller, Watched};
use crate::authz::{authorize_user_now, permission};
use crate::clients::agent::{Agent, AgentError};
use crate::features::containers::model::{Identity, StepName};
use crate::features::containers::runtime::{Instance, RuntimeError, Steps};
use crate::store::Grant;

/// Longest wait for the agent's first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Pause between tries; the agent is up in a few milliseconds.
const PAUSE: Duration = Duration::from_millis(2);

/// Why a start did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The runtime.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    /// The agent.
    #[error("the agent in the container does not work: {0}")]
    Agent(#[from] AgentError),
    /// The owner may not have a container (any more).
    #[error("{0}")]
    Owner(String),
    /// The environment.
    #[error("the secrets cannot be delivered: {0}")]
    Secrets(String),
}

impl StartError {
    /// What everybody may read who sees the container. Why secrets cannot be delivered may name what its owner has of their own,
    /// and stands in the step, which is shown to them alone.
    pub fn reason(&self) -> String {
        match self {
            Self::Secrets(_) => "the secrets cannot be delivered".to_owned(),
            error => error.to_string(),
        }
    }

    /// Whether trying again without a change can help.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Runtime(error) => error.is_permanent(),
            Self::Owner(_) => true,
            Self::Agent(_) | Self::Secrets(_) => false,
        }
    }
}

/// Starts the container and reports each step. When it fails, nothing of it runs.
pub async fn start(
    controller: &Controller,
    watched: &Watched,
    progress: &mut Progress<'_>,
) -> Result<(Instance, Agent), StartError> {
    let who = watched.identity;
    owner_grant(controller, who).await?;
    let runtime = &controller.parts.runtime;

    progress.enter(StepName::Volume);
    let volume = runtime.prepare_volume(who.container).await?;
    progress.done(StepName::Volume, Some(volume));

    let mut instance = runtime.launch(who, progress).await?;
    progress.enter(StepName::Isolation);
    progress.enter(StepName::Agent);
    match open(controller, who, &mut instance, progress).await {
        Ok(agent) => Ok((instance, agent)),
        Err(error) => {
            controller.parts.agents.remove(who.container);
            if let Err(error) = runtime.kill(instance).await {
                tracing::warn!(container = %who.container, %error, "a container that failed to start does not end");
            }
            Err(error)
        }
    }
}

/// Takes over the container of an earlier server. `None` when it cannot be spoken with.
pub async fn resume(
    controller: &Controller,
    watched: &Watched,
    mut instance: Instance,
) -> Result<Option<(Instance, Agent)>, StartError> {
    let who = watched.identity;
    let noted = instance.boot_id().map(str::to_owned);
    let agent = controller
        .parts
        .agents
        .set(who.container, instance.endpoint());
    let resumed = async {
        owner_grant(controller, who).await?;
        let hello = first_answer(&agent, &mut instance).await?;
        if noted.as_deref() != Some(hello.boot_id.as_str()) {
            return Err(StartError::Agent(AgentError::Protocol(
                "another agent answers than was started".to_owned(),
            )));
        }
        controller.parts.runtime.watch_agent(&instance).await?;
        let runtime = &controller.parts.runtime;
        runtime.prove_isolation(&instance, &agent).await?;
        open_egress(controller, who, &mut instance).await
    }
    .await;
    match resumed {
        Ok(()) => Ok(Some((instance, agent))),
        Err(error) => {
            tracing::info!(container = %who.container, %error, "a container of an earlier server is replaced");
            controller.parts.agents.remove(who.container);
            controller.parts.runtime.kill(instance).await?;
            Ok(None)
        }
    }
}

async fn open(
    controller: &Controller,
    who: Identity,
    instance: &mut Instance,
    progress: &mut Progress<'_>,
) -> Result<Agent, StartError> {
    let runtime = &controller.parts.runtime;
    let agent = controller
        .parts
        .agents
        .set(who.container, instance.endpoint());
    let hello = first_answer(&agent, instance).await?;
    runtime.watch_agent(instance).await?;
    progress.done(
        StepName::Agent,
        Some(format!("optidev-agent {}", short(&hello.version))),
    );
    // Before secrets are delivered, and before anybody can run anything inside.
    let proof = runtime.prove_isolation(instance, &agent).await?;
    progress.done(StepName::Isolation, Some(proof));
    runtime.remember(instance, &hello.boot_id).await?;

    progress.enter(StepName::Egress);
    open_egress(controller, who, instance).await?;
    let hosts = controller.services.config.egress.allow.len();
    progress.done(
        StepName::Egress,
        Some(format!("{hosts} allowed hosts, everything else is refused")),
    );

    progress.enter(StepName::Secrets);
    // This process carries ciphertext.
    let deliver = &controller.parts.deliver;
    deliver(who, agent.clone(), hello.clone())
        .await
        .map_err(|problem| StartError::Secrets(problem.detail.into_owned()))?;
    progress.done(
        StepName::Secrets,
        Some("sealed by the vault to the agent's key".to_owned()),
    );
    progress.enter(StepName::Ready);
    progress.done(StepName::Ready, None);
    Ok(agent)
}

/// What the owner may do is what their container may do: read now, as for a request.
async fn owner_grant(
    controller: &Controller,
    who: Identity,
) -> Result<Grant<permission::ContainersUse>, StartError> {
    authorize_user_now(&controller.services.store, who.owner, who.workspace)
        .await
        .map_err(|error| {
            StartError::Owner(format!("the owner may not have a container here: {error}"))
        })
}

async fn open_egress(
    controller: &Controller,
    who: Identity,
    instance: &mut Instance,
) -> Result<(), StartError> {
    let handler = controller.parts.egress.clone();
    let tasks = &controller.services.tasks;
    Ok(controller
        .parts
        .runtime
        .open_egress(instance, who, handler, tasks)
        .await?)
}

/// Asks until the agent answers, or the container ends.
async fn first_answer(agent: &Agent, instance: &mut Instance) -> Result<wire::Hello, StartError> {
    let since = Instant::now();
    loop {
        let error = match agent.hello().await {
            Ok(hello) => return Ok(hello),
            Err(error) if error.is_unreachable() && since.elapsed() < FIRST_ANSWER => error,
            Err(error) => return Err(error.into()),
        };
        tokio::select! {
            ended = instance.ended() => {
                let said = instance.last_words().await;
                return Err(RuntimeError::Failed(format!("the container ended at once ({ended}): {said}")).into());
            }
            () = tokio::time::sleep(PAUSE) => tracing::trace!(%error, "waiting for the agent"),
        }
    }
}

/// Text of the agent in a message: letters, digits and dots, not long.
fn short(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+'))
        .take(64)
        .collect()
}
