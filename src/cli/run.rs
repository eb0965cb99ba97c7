//! `optidev run`: a command with secrets in its environment, outside of any container.
//!
//! What always holds: the vault seals the values to a key that this process makes and never stores, and of Sensitive ones there
//! are none; nothing is written anywhere; the command takes this process's place, so that its end is the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use axum::http::Method;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::remote::{RemoteArgs, TOKEN};
use super::runtime;
use crate::features::secrets::name_complaint;
use crate::kernel::SecretString;
use crate::vault::{Delivery, Recipient};

/// A command, and what it gets.
#[derive(clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// A project's secrets, too, in place of the workspace's: its id, its folder or its name.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// One's own, too, in place of the others.
    #[arg(long)]
    own: bool,
    /// Only visible secrets: then a token needs no more than secrets:read.
    #[arg(long)]
    visible_only: bool,
    /// Variables that are there already keep their values.
    #[arg(long)]
    keep: bool,
    /// The command and its arguments, after --.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The environment: each variable's name and value.
type Variables = BTreeMap<String, SecretString>;

#[derive(Deserialize)]
struct Answer {
    enc: String,
    ciphertext: String,
    info: String,
    left_out: Vec<String>,
}

/// Becomes the command; comes back only when that is not possible.
///
/// # Errors
/// When the secrets cannot be had: the command is not run then.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let (command, keep) = (args.command.clone(), args.keep);
    let variables = runtime()?.block_on(fetch(args))?;
    let Some((program, arguments)) = command.split_first() else {
        bail!("say which command, after --");
    };
    let mut command = Command::new(program);
    // What is given to the command is the values, and not the means to fetch others.
    command.args(arguments).env_remove(TOKEN);
    for (name, value) in &variables {
        if !(keep && is_set(name)) {
            command.env(name, value.expose());
        }
    }
    let error = command.exec();
    // As shells have it.
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    };
    say(&format!("optidev: {}: {error}", program.to_string_lossy()));
    Ok(ExitCode::from(code))
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether the command's own environment has it"
)]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

async fn fetch(args: RunArgs) -> anyhow::Result<Variables> {
    let remote = args.remote.open().await?;
    let project = match &args.project {
        Some(project) => Some(remote.project(project).await?),
        None => None,
    };
    let recipient = Recipient::generate();
    let body = json!({
        "public_key": BASE64_STANDARD.encode(recipient.public()),
        "project": project,
        "own": args.own,
        "masked": !args.visible_only,
    });
    let path = remote.secrets("/run");
    let answer: Answer = remote.api.ask(Method::POST, &path, Some(&body)).await?;
    if !answer.left_out.is_empty() {
        say(&format!(
            "optidev: without {} (Sensitive, not to be revealed by you, a file, or referring to such)",
            answer.left_out.join(", ")
        ));
    }
    open(&recipient, &answer)
        .context("the server's answer does not open; use optidev of the server's version")?
        .into_iter()
        .map(|(name, value)| match name_complaint(&name) {
            // A name that changes how programs start would come from a server that is not to be believed.
            Some(message) => bail!("the server sent a variable that is no secret's: {message}"),
            None => Ok((name, value)),
        })
        .collect()
}

fn open(recipient: &Recipient, answer: &Answer) -> Option<Variables> {
    let enc = BASE64_STANDARD.decode(&answer.enc).ok()?;
    let delivery = Delivery {
        enc: enc.try_into().ok()?,
        ciphertext: BASE64_STANDARD.decode(&answer.ciphertext).ok()?,
    };
    let opened = recipient.open(&delivery, &answer.info)?;
    serde_json::from_slice(opened.expose()).ok()
}

#[expect(clippy::print_stderr, reason = "standard output is the command's")]
fn say(line: &str) {
    eprintln!("{line}");
}
