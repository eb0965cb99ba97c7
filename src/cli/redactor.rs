//! `optidev redactor`: the redactor, started by the launcher, or apart as a user of its own.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::runtime;
use crate::redactor::process::{self, Options};
use crate::redactor::{RedactorClient, RedactorError};
use crate::vault::server;

/// How the process is started.
#[derive(Debug, clap::Args)]
pub struct RedactorArgs {
    /// The Unix socket to listen on; one that an earlier start left is replaced. Its mode is 0600, or 0660 with --client-uid.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// The socket of the vault process, which has to know this redactor by its user (`optidev vault serve --redactor-uid`).
    #[arg(long, value_name = "PATH", required_unless_present = "alive")]
    vault: Option<PathBuf>,
    /// The user id of the server, the only one that is answered [default: the redactor's own].
    #[arg(long, value_name = "UID")]
    client_uid: Option<u32>,
    /// Do not start where the kernel lacks any of the hardening.
    #[arg(long)]
    require_hardening: bool,
    /// Start nothing, and say by the exit status whether a redactor answers on the socket: for probes.
    #[arg(long)]
    alive: bool,
    /// The vault knows this redactor by the token that is the first line of standard input.
    #[arg(hide = true, long)]
    vault_token: bool,
    /// End when standard input does: for a parent that holds a pipe to it.
    #[arg(hide = true, long)]
    die_with_parent: bool,
}

/// Becomes the redactor, or asks one. Before any thread or runtime was started.
///
/// # Errors
/// When there is no token on standard input though there should be; when the one that is asked does not answer.
pub fn run(args: RedactorArgs) -> anyhow::Result<()> {
    if args.alive {
        return runtime()?.block_on(alive(args.socket));
    }
    server::before_secrets();
    let token = args.vault_token.then(server::process::token_from_stdin);
    let token = token.transpose().context("reading the redactor's token")?;
    process::run(Options {
        socket: args.socket,
        vault: args.vault.unwrap_or_default(),
        token,
        client_uid: args.client_uid,
        die_with_parent: args.die_with_parent,
        require_hardening: args.require_hardening,
    })
}

/// Ends well when it answers, and be it with the refusal of this command's user.
async fn alive(socket: PathBuf) -> anyhow::Result<()> {
    match RedactorClient::new(socket).missing().await {
        Ok(_) | Err(RedactorError::Failed(_)) => Ok(()),
        Err(error) => bail!("{error}"),
    }
}
