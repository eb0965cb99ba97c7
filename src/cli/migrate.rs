//! `optidev migrate`

use anyhow::Context;

use super::{Place, logging};
use crate::config::Paths;
use crate::store::Store;

/// Changes the schema, makes the server's role on PostgreSQL, and says what it did.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub async fn run(place: &Place) -> anyhow::Result<()> {
    let loaded = place.load()?;
    logging::start(&loaded.config.log)?;
    let data_dir = place.absolute_data_dir()?;
    if loaded.config.database.url.is_empty() {
        std::fs::create_dir_all(&data_dir)
            .with_context(|| format!("making {}", data_dir.display()))?;
    }
    let did = Store::migrate(&loaded.config.database, &Paths::new(data_dir).sqlite())
        .await
        .context("bringing the database schema up to date")?;
    for sentence in did {
        println!("{sentence}");
    }
    Ok(())
}
