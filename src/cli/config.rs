//! `optidev config`

use clap::Subcommand;

use super::Place;
use crate::clients::http::Outbound;
use crate::clients::mail::Mailer;
use crate::clients::objects::Objects;
use crate::config::Paths;
use crate::store::Store;

/// Looks at the settings.
#[derive(clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say whether the settings can be used, and what is wrong with them.
    Check,
}

/// Runs it.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let ConfigCommand::Check = args.command;
    let loaded = args.place.load()?;
    Store::check_settings(&loaded.config.database)?;
    Mailer::new(&loaded.config.mail)?;
    let outbound = Outbound::new(&loaded.config)?;
    let paths = Paths::new(args.place.absolute_data_dir()?);
    Objects::new(&loaded.config.objects, &paths, &outbound)?;
    match loaded.file {
        Some(file) => println!("{}: the settings can be used", file.display()),
        None => println!("the settings can be used (no file given: defaults and environment)"),
    }
    Ok(())
}
