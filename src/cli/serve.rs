//! `optidev serve` and `optidev migrate`

use std::sync::Arc;

use anyhow::Context;

use super::{Place, logging};
use crate::app;
use crate::config::Paths;
use crate::store::Store;
use crate::vault::VaultClient;

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

/// Changes the schema and nothing else.
pub async fn migrate(place: &Place) -> anyhow::Result<()> {
    let loaded = place.load()?;
    logging::start(&loaded.config.log)?;
    let data_dir = place.absolute_data_dir()?;
    std::fs::create_dir_all(&data_dir).with_context(|| format!("making {}", data_dir.display()))?;
    let paths = Paths::new(data_dir);
    // Migrations write no audit entries, so nobody is asked to seal.
    let seal = Arc::new(VaultClient::new(app::VaultProcess::socket(&paths)));
    let store = Store::open(&loaded.config.database, &paths.sqlite(), seal).await?;
    store
        .migrate()
        .await
        .context("bringing the database schema up to date")
}
