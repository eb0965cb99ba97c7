//! `optidev vault`: what people do with the master secret on the host; and, with `--socket`, the vault process itself, which
//! the server starts. One that is started apart: `vault_apart`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;

use super::{Place, credential, runtime, vault_apart};
use crate::app;
use crate::vault::server::{self, Options, Rate, RedactorIs};

/// How often values of one workspace may be revealed.
pub const REVEALS: Rate = Rate {
    per_minute: 60,
    burst: 120,
};

/// The vault.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct VaultArgs {
    #[command(subcommand)]
    command: Option<VaultCommand>,
    #[command(flatten)]
    process: Option<ProcessArgs>,
}

#[derive(Subcommand)]
enum VaultCommand {
    /// Make a new master secret and put everything under it, while the server runs. A run that was broken off is finished by
    /// the next one.
    RotateMaster {
        /// Every server that shares the database has the master file with both root keys, and was restarted with it.
        #[arg(long)]
        copied: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Credentials of the installation that the vault keeps: the key of the AI provider, the mail server's password.
    Credential(credential::CredentialArgs),
    /// Run the vault process apart from the server, as a user of its own, until SIGTERM. The server finds it by `[vault] socket`.
    Serve(vault_apart::ServeArgs),
    /// Make the master secret of a new installation whose vault process is started apart.
    NewMaster(vault_apart::NewMasterArgs),
    /// Say by the exit status whether a vault process answers on a socket: for probes.
    Alive(vault_apart::AliveArgs),
}

/// Runs the vault process, which alone reads the master secret.
#[derive(Debug, clap::Args)]
pub struct ProcessArgs {
    /// The Unix socket to listen on; one that a killed process left there is replaced.
    #[arg(hide = true, long, value_name = "PATH")]
    pub socket: PathBuf,
    /// The file of the master secret, mode 0600; the file install-id lies beside it.
    #[arg(hide = true, long, value_name = "FILE")]
    pub master: PathBuf,
    /// Makes the master secret and install-id when there are none yet.
    #[arg(hide = true, long)]
    pub create_master: bool,
    /// The file to which reveals, deliveries and openings are appended, as JSON Lines.
    #[arg(hide = true, long, value_name = "FILE")]
    pub record: PathBuf,
    /// The file of what is known of the audit log's chains [default: anchors beside the record].
    #[arg(hide = true, long, value_name = "FILE")]
    pub anchors: Option<PathBuf>,
    /// The user id of the server, the only one that may connect [default: the vault's own].
    #[arg(hide = true, long, value_name = "UID")]
    pub client_uid: Option<u32>,
    /// Ends when standard input does: for a parent that holds a pipe to it.
    #[arg(hide = true, long)]
    pub die_with_parent: bool,
    /// Does not start where the kernel lacks any of the hardening.
    #[arg(hide = true, long)]
    pub require_hardening: bool,
    /// The redactor shows the token that is the first line of standard input.
    #[arg(hide = true, long)]
    pub redactor_token: bool,
    /// How many values a minute may be revealed in one workspace.
    #[arg(hide = true, long, value_name = "N", default_value_t = REVEALS.per_minute, value_parser = clap::value_parser!(u32).range(1..))]
    pub reveals_per_minute: u32,
    /// How many values may be revealed at once after a pause.
    #[arg(hide = true, long, value_name = "N", default_value_t = REVEALS.burst, value_parser = clap::value_parser!(u32).range(1..))]
    pub reveal_burst: u32,
}

/// Does what people ask, or becomes the vault process and does not return. Call it before any thread or runtime was started.
///
/// # Errors
/// Of what people ask; the process says on standard error what goes wrong, and the exit code says its kind.
pub fn run(args: VaultArgs) -> anyhow::Result<()> {
    match (args.command, args.process) {
        (Some(VaultCommand::RotateMaster { copied, place }), _) => {
            // It reads the master: no other process of this user looks into it, and no core file is left of it.
            server::before_secrets();
            let (loaded, data_dir) = (place.load()?, place.absolute_data_dir()?);
            runtime()?.block_on(app::rotate_master(loaded, &data_dir, copied, say))
        }
        (Some(VaultCommand::Credential(args)), _) => runtime()?.block_on(credential::run(args)),
        (Some(VaultCommand::Serve(args)), _) => vault_apart::serve(args),
        (Some(VaultCommand::NewMaster(args)), _) => vault_apart::new_master(&args),
        (Some(VaultCommand::Alive(args)), _) => runtime()?.block_on(vault_apart::alive(args)),
        (None, Some(process)) => become_process(process),
        (None, None) => anyhow::bail!("say what to do; optidev vault --help has the list"),
    }
}

#[expect(clippy::print_stdout, reason = "the command's progress")]
fn say(line: &str) {
    println!("{line}");
}

fn become_process(args: ProcessArgs) -> anyhow::Result<()> {
    let redactor = if args.redactor_token {
        server::before_secrets();
        let token = server::process::token_from_stdin().context("reading the redactor's token")?;
        RedactorIs::by(&token)
    } else {
        RedactorIs::Absent
    };
    server::run(&Options {
        socket: args.socket,
        master: args.master,
        create_master: args.create_master,
        anchors: args
            .anchors
            .unwrap_or_else(|| args.record.with_file_name("anchors")),
        record: Some(args.record),
        client_uid: args.client_uid,
        redactor,
        die_with_parent: args.die_with_parent,
        require_hardening: args.require_hardening,
        reveals: Rate {
            per_minute: args.reveals_per_minute,
            burst: args.reveal_burst,
        },
    })
}
