//! `optidev vault credential`: what the installation shows to others, given to the vault on the host.

use clap::Subcommand;

use super::{Place, first_line, told};
use crate::app;
use crate::context::Services;
use crate::features::credentials;
use crate::vault::SystemPurpose;

/// Credentials of the installation.
#[derive(clap::Args)]
pub struct CredentialArgs {
    #[command(subcommand)]
    command: CredentialCommand,
    #[command(flatten)]
    place: Place,
}

/// Which one.
#[derive(clap::Args)]
struct Which {
    /// What it is for, such as upstream_ai_key or smtp. It opens for nothing else.
    purpose: String,
    /// Which of several; without it, the one that the server uses itself.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Subcommand)]
enum CredentialCommand {
    /// Set one, in place of what was there. A file that the settings name wins over it.
    Set {
        #[command(flatten)]
        which: Which,
        /// Read the value from the first line of standard input.
        #[arg(long, required = true)]
        value_stdin: bool,
    },
    /// List them, without values.
    List,
    /// Delete one.
    Delete {
        #[command(flatten)]
        which: Which,
    },
}

/// Runs it against the running server's vault, or with one of its own.
pub async fn run(args: CredentialArgs) -> anyhow::Result<()> {
    let offline = app::offline(args.place.load()?, &args.place.absolute_data_dir()?).await?;
    let done = act(&offline.services, args.command).await;
    offline.close().await;
    done
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
async fn act(services: &Services, command: CredentialCommand) -> anyhow::Result<()> {
    match command {
        CredentialCommand::Set { which, .. } => {
            let (purpose, name) = which.read()?;
            let value = first_line("value")?.into_bytes();
            credentials::set(services, purpose, &name, value)
                .await
                .map_err(told)?;
            println!("set {} {name}", purpose.label());
        }
        CredentialCommand::List => {
            for item in credentials::list(services).await.map_err(told)? {
                println!(
                    "{} {} set at {} ms since 1970",
                    item.purpose, item.name, item.updated_at_ms
                );
            }
        }
        CredentialCommand::Delete { which } => {
            let (purpose, name) = which.read()?;
            credentials::delete(services, purpose, &name)
                .await
                .map_err(told)?;
            println!("deleted {} {name}", purpose.label());
        }
    }
    Ok(())
}

impl Which {
    fn read(self) -> anyhow::Result<(SystemPurpose, String)> {
        let purpose = credentials::purpose(&self.purpose).map_err(told)?;
        let usual = || credentials::usual_name(purpose).map(str::to_owned);
        let name = self
            .name
            .or_else(usual)
            .ok_or_else(|| anyhow::anyhow!("{} has no usual name: give --name", purpose.label()))?;
        Ok((purpose, name))
    }
}
