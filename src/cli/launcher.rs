//! `optidev launcher`

use super::{Place, logging};
use crate::app;
use crate::config::Paths;

/// Starts containers and the vault process for the server at the other end of standard input.
pub async fn run(place: &Place) -> anyhow::Result<()> {
    let loaded = place.load()?;
    logging::start(&loaded.config.log)?;
    let paths = Paths::new(place.absolute_data_dir()?);
    app::run_launcher(loaded.config, paths).await
}
