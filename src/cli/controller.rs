//! `optidev controller`

use std::path::PathBuf;

use super::logging;
use crate::app;

/// Runs the controller.
#[derive(clap::Args)]
pub struct ControllerArgs {
    /// Settings; see config.example.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs it until it is told to stop.
pub async fn run(args: &ControllerArgs) -> anyhow::Result<()> {
    let loaded = crate::config::load(args.config.as_deref())?;
    logging::start(&loaded.config.log)?;
    app::run_controller(&loaded.config).await
}
