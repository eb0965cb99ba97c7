//! `optidev agent-install`

use std::path::PathBuf;

use crate::features::containers::write_agent;

/// Where the agent goes.
#[derive(clap::Args)]
pub struct AgentInstallArgs {
    /// An existing folder.
    folder: PathBuf,
}

/// Writes it.
pub fn run(args: &AgentInstallArgs) -> anyhow::Result<()> {
    Ok(write_agent(&args.folder)?)
}
