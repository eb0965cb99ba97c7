//! `optidev serve`

use super::{Place, logging, runtime};
use crate::app;

/// Runs the server.
#[derive(clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    place: Place,
}

/// Runs it until it is told to stop. Before any thread was started: it confines its process.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let loaded = args.place.load()?;
    logging::start(&loaded.config.log)?;
    let data_dir = args.place.absolute_data_dir()?;
    let held = app::hold(&loaded.config, args.place.config.as_deref(), &data_dir)?;
    runtime()?.block_on(app::serve(loaded, held))
}
