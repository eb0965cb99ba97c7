//! The executable: parses the command line and dispatches.

use clap::Parser;

#[derive(Parser)]
#[command(name = "optidev", version)]
enum Command {
    Vault(optidev::cli::vault::VaultArgs),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Vault(args) => optidev::cli::vault::run(args),
    }
}
