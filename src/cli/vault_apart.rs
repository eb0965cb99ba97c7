//! `optidev vault serve`, `new-master` and `alive`: a vault process that is started apart from the server, as a user of its
//! own, by Kubernetes or a service manager.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::vault::REVEALS;
use crate::vault::server::{self, Options, RedactorIs};
use crate::vault::{VaultClient, VaultError};

/// How the process is started.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// The Unix socket to listen on, in a folder that the server's user can reach; one that an earlier start left is replaced.
    /// Its mode is 0660: server and vault share a group.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// The user id of the server, the only one that is answered.
    #[arg(long, value_name = "UID")]
    client_uid: u32,
    /// The user id of the redactor, which is given what it looks for and nothing else. Without it, nobody is.
    #[arg(long, value_name = "UID")]
    redactor_uid: Option<u32>,
    /// The file of the master secret, which the server's user cannot read; the file install-id lies beside it.
    #[arg(long, value_name = "FILE")]
    master_file: PathBuf,
    /// The vault's own folder, for `anchors`, what it knows of the audit log's chains, and `record.jsonl`, to which reveals,
    /// deliveries and openings are appended.
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// Write the record to standard output, for a collector of logs, and not to the folder.
    #[arg(long)]
    record_to_stdout: bool,
    /// Do not start where the kernel lacks any of the hardening.
    #[arg(long)]
    require_hardening: bool,
}

/// Where a master secret is made.
#[derive(Debug, clap::Args)]
pub struct NewMasterArgs {
    /// The folder for the two files, `master` and `install-id`; made when it is not there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Which vault process is asked.
#[derive(Debug, clap::Args)]
pub struct AliveArgs {
    /// Its socket.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
}

/// Becomes the vault process. Before any thread or runtime was started.
///
/// # Errors
/// When server and redactor are said to be one user.
pub fn serve(args: ServeArgs) -> anyhow::Result<()> {
    if args.redactor_uid == Some(args.client_uid) {
        bail!(
            "--redactor-uid and --client-uid are both {}: the server would be given what only the redactor may have; run the \
             redactor as a user of its own",
            args.client_uid
        );
    }
    let record = args.state_dir.join("record.jsonl");
    server::run(&Options {
        socket: args.socket,
        master: args.master_file,
        create_master: false,
        anchors: args.state_dir.join("anchors"),
        record: (!args.record_to_stdout).then_some(record),
        client_uid: Some(args.client_uid),
        redactor: args
            .redactor_uid
            .map_or(RedactorIs::Absent, RedactorIs::User),
        die_with_parent: false,
        require_hardening: args.require_hardening,
        reveals: REVEALS,
    })
}

/// Makes a master secret for a new installation, and says what to do with it.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub fn new_master(args: &NewMasterArgs) -> anyhow::Result<()> {
    server::before_secrets();
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("making the folder {}", args.out.display()))?;
    let master = server::new_master(&args.out)?;
    println!(
        "made {} and install-id beside it. Whoever has the two can read every secret of the installation, and nobody can without: \
         keep a copy in a safe place, apart from the database.",
        master.display()
    );
    Ok(())
}

/// Ends well when the vault process answers, and be it with the refusal of this command's user.
pub async fn alive(args: AliveArgs) -> anyhow::Result<()> {
    match VaultClient::new(args.socket).status().await {
        Ok(_) | Err(VaultError::Refused { .. }) => Ok(()),
        Err(error) => bail!("{error}"),
    }
}
