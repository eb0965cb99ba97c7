//! `optidev serve`

use super::{Place, logging};
use crate::app;

/// Runs the server.
#[derive(clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    place: Place,
}

/// Runs it until it is told to stop.
pub async fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let loaded = args.place.load()?;
    logging::start(&loaded.config.log)?;
    app::serve(loaded, &args.place.absolute_data_dir()?).await
}
