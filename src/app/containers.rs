//! Puts containers together: runtime, agents, egress, controller, previews.

use std::sync::Arc;

use super::agents::Door;
use crate::clients::agent::Agents;
use crate::clients::launcher::Launcher;
use crate::config::RuntimeKind;
use crate::context::Services;
use crate::features::broker::Preview;
use crate::features::containers::{
    Controller, DeliverHandler, EgressHandler, Launched, Parts, Pods, Runtime, finder,
};
use crate::features::egress::Egress;
use crate::features::secrets::{self, By, Deliveries};

/// The parts that routes need.
pub struct Containers {
    /// Makes containers run.
    pub controller: Arc<Controller>,
    /// Shows their ports.
    pub preview: Preview,
    /// Lets them out.
    pub egress: Egress,
    /// Gives them secrets while they run.
    pub deliveries: Deliveries,
}

/// Prepares this machine for containers where it runs some, and starts the controller.
///
/// # Errors
/// When a setting names something that is not there, or files cannot be written.
pub async fn start(services: &Services, launcher: Option<Launcher>) -> anyhow::Result<Containers> {
    let config = &services.config;
    let mut door = None;
    let (runtime, agents) = match (config.runtime.kind, launcher) {
        (RuntimeKind::Local, Some(launcher)) => (
            Runtime::Local(Launched::open(launcher).await?),
            Agents::new(),
        ),
        (RuntimeKind::Kubernetes, _) => {
            let (opened, broker) = Door::open(services).await?;
            door = Some(opened);
            let agents = Agents::with_finder(finder(services, &broker));
            (Runtime::Kubernetes(Pods::open(services, broker)), agents)
        }
        _ => (Runtime::None, Agents::new()),
    };
    let egress = Egress::new(services)?;
    let way_out = egress.clone();
    let handler: EgressHandler = Arc::new(move |who, stream| {
        let egress = way_out.clone();
        Box::pin(async move { egress.serve(who, stream).await })
    });
    if let Some(door) = door {
        let address = door.listen(handler.clone()).await?;
        tracing::info!(%address, "listens for agents");
    }
    let giver = services.clone();
    let deliver: DeliverHandler = Arc::new(move |who, agent, hello| {
        let services = giver.clone();
        Box::pin(
            async move { Ok(secrets::deliver(&services, who, &agent, &hello, By::Start).await?) },
        )
    });
    let parts = Parts {
        runtime,
        agents: agents.clone(),
        egress: handler,
        deliver,
    };
    let controller = Controller::new(services.clone(), parts);
    controller.start();
    Ok(Containers {
        preview: Preview::new(services.clone(), agents),
        deliveries: Deliveries::new(Arc::clone(&controller)),
        controller,
        egress,
    })
}
