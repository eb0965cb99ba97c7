//! `optidev vault`: becomes the vault process. The server starts it; people need it only to look.

use std::path::PathBuf;

use crate::vault::server::{self, Options, Rate};

/// Runs the vault process, which alone reads the master secret.
#[derive(Debug, clap::Args)]
pub struct VaultArgs {
    /// The Unix socket to listen on; one that a killed process left there is replaced.
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// The file of the master secret, mode 0600; the file install-id lies beside it.
    #[arg(long, value_name = "FILE")]
    pub master: PathBuf,
    /// Makes the master secret and install-id when there are none yet.
    #[arg(long)]
    pub create_master: bool,
    /// The file to which reveals, deliveries and openings are appended, as JSON Lines.
    #[arg(long, value_name = "FILE")]
    pub record: PathBuf,
    /// The file of what is known of the audit log's chains [default: anchors beside the record].
    #[arg(long, value_name = "FILE")]
    pub anchors: Option<PathBuf>,
    /// The user id of the server, the only one that may connect [default: the vault's own].
    #[arg(long, value_name = "UID")]
    pub parent_uid: Option<u32>,
    /// Ends when standard input does: for a parent that holds a pipe to it.
    #[arg(long)]
    pub die_with_parent: bool,
    /// Does not start where the kernel lacks any of the hardening.
    #[arg(long)]
    pub require_hardening: bool,
    /// How many values a minute may be revealed in one workspace.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub reveals_per_minute: u32,
    /// How many values may be revealed at once after a pause.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    pub reveal_burst: u32,
}

/// Becomes the vault process; does not return. Call it before any thread or runtime was started.
///
/// # Errors
/// None: what goes wrong is said on standard error, and the exit code says its kind.
pub fn run(args: VaultArgs) -> anyhow::Result<()> {
    server::run(&Options {
        socket: args.socket,
        master: args.master,
        create_master: args.create_master,
        anchors: args
            .anchors
            .unwrap_or_else(|| args.record.with_file_name("anchors")),
        record: args.record,
        parent_uid: args.parent_uid,
        die_with_parent: args.die_with_parent,
        require_hardening: args.require_hardening,
        reveals: Rate {
            per_minute: args.reveals_per_minute,
            burst: args.reveal_burst,
        },
    })
}
