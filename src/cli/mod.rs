//! Layer 6: the subcommands.

mod admin;
mod agent_install;
mod config;
mod controller;
mod credential;
mod doctor;
mod launcher;
mod logging;
mod migrate;
mod redactor;
mod remote;
mod run;
mod secrets;
mod serve;
pub mod vault;
mod vault_apart;
mod verify;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};

use crate::kernel::{Problem, SecretString};

/// A self-hosted development platform in one executable.
#[derive(Parser)]
#[command(name = "optidev", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::ServeArgs),
    /// Accounts and tokens, on the host and without a browser.
    Admin(admin::AdminArgs),
    /// Look at the settings.
    Config(config::ConfigArgs),
    /// Bring the database schema up to date, make the server's role on PostgreSQL, and end.
    Migrate(Place),
    /// Say what this machine has of what keeps secrets and containers apart, and what is missing. Ends with 1 when something
    /// that is needed is.
    Doctor(doctor::DoctorArgs),
    /// Check what is kept: `verify audit`.
    Verify(verify::VerifyArgs),
    /// Run the controller of containers on Kubernetes: it makes pods as the servers want them. It has no vault and no secrets.
    Controller(controller::ControllerArgs),
    /// Write the agent of containers into a folder, and end: what a pod's init container does.
    #[command(hide = true)]
    AgentInstall(agent_install::AgentInstallArgs),
    /// Starts containers and the vault process; the server starts it by itself.
    #[command(hide = true)]
    Launcher(Place),
    /// Set, list, import and export secrets on a server, from anywhere. Values are sealed here: the server never sees them.
    Secrets(secrets::SecretsArgs),
    /// Run a command with the secrets that one may see or reveal in its environment.
    Run(run::RunArgs),
    /// Run the redactor, which keeps hidden values out of what goes to an AI provider. The server starts it by itself, unless
    /// `[redactor] socket` names one that is started apart.
    Redactor(redactor::RedactorArgs),
    /// The vault: its master secret, what it keeps for the installation, and the process itself, when it is started apart.
    Vault(vault::VaultArgs),
}

/// Where settings and data are.
#[derive(clap::Args)]
pub struct Place {
    /// Settings; see config.example.toml.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// The folder for everything that is kept.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    pub data_dir: PathBuf,
}

impl Place {
    /// The settings.
    fn load(&self) -> anyhow::Result<crate::config::Loaded> {
        Ok(crate::config::load(self.config.as_deref())?)
    }

    /// The data folder from the root.
    fn absolute_data_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(std::path::absolute(&self.data_dir)?)
    }
}

/// Runs what the command line asks for.
///
/// # Errors
/// What to say to the person before ending with status 1.
pub fn run() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        // Before any thread or runtime exists: it locks its process down.
        Command::Vault(args) => vault::run(args)?,
        Command::Redactor(args) => redactor::run(args)?,
        Command::Config(args) => config::run(&args)?,
        // Before any thread or runtime exists, too.
        Command::Serve(args) => serve::run(&args)?,
        // It waits, mostly: one thread is enough.
        Command::Launcher(place) => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(launcher::run(&place))?,
        Command::Controller(args) => runtime()?.block_on(controller::run(&args))?,
        Command::AgentInstall(args) => agent_install::run(&args)?,
        Command::Secrets(args) => runtime()?.block_on(secrets::run(args))?,
        Command::Run(args) => return run::run(args),
        Command::Admin(args) => runtime()?.block_on(admin::run(args))?,
        Command::Migrate(place) => runtime()?.block_on(migrate::run(&place))?,
        Command::Doctor(args) => return Ok(runtime()?.block_on(doctor::run(args))),
        Command::Verify(args) => return Ok(runtime()?.block_on(verify::run(args))),
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on standard error what went wrong and why, in one line.
#[expect(clippy::print_stderr, reason = "the last words of a command")]
pub fn complain(error: &anyhow::Error) {
    eprintln!("optidev: {error:#}");
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// The first line of standard input, which holds a `what`.
fn first_line(what: &str) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .with_context(|| format!("reading the {what} from standard input"))?;
    let secret = SecretString::from(text);
    let line = secret
        .expose()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    if line.is_empty() {
        bail!("standard input holds no {what}: send it as one line");
    }
    Ok(SecretString::from(line))
}

/// A problem for a person at the host, with its cause.
fn told(problem: Problem) -> anyhow::Error {
    match problem.cause {
        Some(cause) => anyhow::anyhow!("{} ({cause})", problem.detail),
        None => anyhow::anyhow!("{}", problem.detail),
    }
}
