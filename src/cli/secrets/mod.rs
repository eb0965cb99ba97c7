//! `optidev secrets`: a server's secrets, from anywhere.
//!
//! What always holds: a value is sealed to the vault here, so that the server carries ciphertext; it comes from a file, standard
//! input or the terminal, never from an argument, which everybody on the machine could read.

mod import;
mod seal;
mod value;

use std::path::PathBuf;

use anyhow::bail;
use axum::http::Method;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::remote::{Remote, RemoteArgs};
use crate::features::secrets::{Tier, name_complaint, references_of};
use crate::web::time;

/// A server's secrets.
#[derive(clap::Args)]
pub struct SecretsArgs {
    #[command(subcommand)]
    command: SecretsCommand,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Whose secrets are meant; the workspace's without either.
#[derive(clap::Args)]
struct InScope {
    /// A project's: its id, its folder or its name.
    #[arg(long, value_name = "PROJECT", conflicts_with = "own")]
    project: Option<String>,
    /// One's own, which nobody else sees.
    #[arg(long)]
    own: bool,
}

#[derive(Subcommand)]
enum SecretsCommand {
    /// Set a secret. The value comes from --value-file, from standard input, or from a prompt that does not show it.
    Set(SetArgs),
    /// List secrets, without values.
    List {
        #[command(flatten)]
        scope: InScope,
        /// Print JSON, with the values of visible ones.
        #[arg(long)]
        json: bool,
    },
    /// Delete a secret with all its versions.
    Delete {
        /// Its name.
        name: String,
        #[command(flatten)]
        scope: InScope,
    },
    /// Set all that is in a `.env` file, or nothing; what would change is shown before.
    Import(import::ImportArgs),
    /// Write the visible secrets as a `.env` file.
    Export {
        #[command(flatten)]
        scope: InScope,
        /// The file, which only its owner may read; without it, standard output.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
struct SetArgs {
    /// Its name, as the variable will have it.
    name: String,
    /// Not taken: caught to say where the value comes from instead.
    #[arg(hide = true, allow_hyphen_values = true)]
    value: Vec<String>,
    /// visible, masked or sensitive; without it as it is, and masked for a new one.
    #[arg(long, value_parser = tier)]
    tier: Option<Tier>,
    #[command(flatten)]
    scope: InScope,
    /// For people; without it as it is.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Until when the value is good: a day (2027-01-31, to its end in UTC) or a moment (2027-01-31T12:00:00Z).
    #[arg(long, value_name = "DATE", value_parser = value::end)]
    expires: Option<i64>,
    /// Whether ${NAME} in the value stands for the value of another secret; without it as it is.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    expand: Option<bool>,
    /// The file that holds the value.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

fn tier(text: &str) -> Result<Tier, String> {
    [Tier::Visible, Tier::Masked, Tier::Sensitive]
        .into_iter()
        .find(|tier| tier.as_str() == text)
        .ok_or_else(|| "use visible, masked or sensitive".to_owned())
}

/// A secret as the API shows it, as far as it matters here.
#[derive(Deserialize, Serialize)]
struct Item {
    name: String,
    tier: Tier,
    #[serde(default)]
    value: Option<String>,
    expand: bool,
    version: i64,
    description: String,
    expires_at_ms: Option<i64>,
}

impl InScope {
    /// As the API's query has it.
    async fn query(&self, remote: &Remote) -> anyhow::Result<String> {
        Ok(match &self.project {
            Some(project) => format!("?scope=project&project={}", remote.project(project).await?),
            None if self.own => "?scope=own".to_owned(),
            None => String::new(),
        })
    }
}

/// Does what is asked.
pub async fn run(args: SecretsArgs) -> anyhow::Result<()> {
    if let SecretsCommand::Set(set) = &args.command {
        set.check()?;
    }
    let remote = args.remote.open().await?;
    match args.command {
        SecretsCommand::Set(args) => set(&remote, args).await,
        SecretsCommand::List { scope, json } => {
            let query = scope.query(&remote).await?;
            show(&list(&remote, &query).await?, json)
        }
        SecretsCommand::Delete { name, scope } => {
            let query = scope.query(&remote).await?;
            let path = remote.secrets(&format!("/{}{query}", known_name(&name)?));
            remote.api.ask::<Value>(Method::DELETE, &path, None).await?;
            say(&format!("deleted {name}"));
            Ok(())
        }
        SecretsCommand::Import(args) => import::run(&remote, args).await,
        SecretsCommand::Export { scope, output } => {
            let query = scope.query(&remote).await?;
            let path = remote.secrets(&format!("/export{query}"));
            let file = remote.api.text(Method::GET, &path, None).await?;
            match output {
                Some(path) => value::write_private(&path, &file),
                None => {
                    print(&file);
                    Ok(())
                }
            }
        }
    }
}

/// A name that can stand in a path.
fn known_name(name: &str) -> anyhow::Result<&str> {
    match name_complaint(name) {
        Some(message) => bail!("{message}"),
        None => Ok(name),
    }
}

impl SetArgs {
    fn check(&self) -> anyhow::Result<()> {
        if !self.value.is_empty() {
            bail!(
                "a value is not taken from the command line, where everybody on this machine can read it and the shell keeps it. \
                 Give it in a file with --value-file, or on standard input. This one has been seen: use another value"
            );
        }
        known_name(&self.name).map(drop)
    }
}

async fn set(remote: &Remote, args: SetArgs) -> anyhow::Result<()> {
    let query = args.scope.query(remote).await?;
    let there = list(remote, &query).await?;
    let there = there.iter().find(|item| item.name == args.name);
    let value = value::read(&args.name, args.value_file.as_deref())?;
    // As it is, where nothing else was said: a new value must not make a secret easier to see by the way.
    let tier = args
        .tier
        .or(there.map(|item| item.tier))
        .unwrap_or(Tier::Masked);
    let expand = args.expand.or(there.map(|item| item.expand));
    let mut body = json!({
        "tier": tier,
        "description": args.description,
        "expires_at_ms": args.expires,
        "expand": expand,
    });
    if expand == Some(true) {
        refer(&mut body, value.expose());
    }
    let path = remote.secrets(&format!("/{}{query}", args.name));
    let set: Item = seal::send(remote, (Method::PUT, &path), |sealer| {
        let mut body = body.clone();
        let sealed = sealer.seal(&args.name, tier, value.expose())?;
        put(&mut body, "sealed", sealed);
        Ok(body)
    })
    .await?;
    say(&format!(
        "set {}: version {}, {}",
        set.name,
        set.version,
        set.tier.as_str()
    ));
    Ok(())
}

/// Says what a value that the server cannot read refers to.
fn refer(body: &mut Value, value: &str) {
    put(body, "references", json!(references_of(value)));
}

fn put(body: &mut Value, field: &str, value: Value) {
    if let Some(body) = body.as_object_mut() {
        body.insert(field.to_owned(), value);
    }
}

async fn list(remote: &Remote, query: &str) -> anyhow::Result<Vec<Item>> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Item>,
    }
    let path = remote.secrets(query);
    let listed: List = remote.api.ask(Method::GET, &path, None).await?;
    Ok(listed.items)
}

fn show(items: &[Item], json: bool) -> anyhow::Result<()> {
    if json {
        say(&serde_json::to_string(items)?);
        return Ok(());
    }
    let widest = items.iter().map(|item| item.name.len()).max();
    let width = widest.unwrap_or_default();
    for item in items {
        let ends = item.expires_at_ms.map(time::minute);
        let ends = ends
            .map(|ends| format!("  until {ends}"))
            .unwrap_or_default();
        let line = format!(
            "{:width$}  {:9}  version {}{ends}  {}",
            item.name,
            item.tier.as_str(),
            item.version,
            plain(&item.description)
        );
        say(line.trim_end());
    }
    Ok(())
}

/// What somebody else wrote, without what a terminal would obey.
fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(shown).collect()
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn print(text: &str) {
    print!("{text}");
}
