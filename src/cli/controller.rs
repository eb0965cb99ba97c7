//! `optidev controller`

use std::net::IpAddr;
use std::path::PathBuf;

use super::logging;
use crate::app;

/// Runs the controller.
#[derive(clap::Args)]
pub struct ControllerArgs {
    /// Settings; see config.example.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What this controller is called in the Lease: its pod's name.
    #[arg(long, default_value = "controller")]
    name: String,
    /// The address of the node that it runs on: its kubelet is among what no container may reach.
    #[arg(long, value_name = "ADDRESS")]
    node: Option<IpAddr>,
}

/// Runs it until it is told to stop.
pub async fn run(args: &ControllerArgs) -> anyhow::Result<()> {
    let loaded = crate::config::load(args.config.as_deref())?;
    logging::start(&loaded.config.log)?;
    let place = app::Place {
        name: args.name.clone(),
        node: args.node,
    };
    app::run_controller(&loaded.config, &place).await
}
