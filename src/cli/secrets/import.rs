//! `optidev secrets import`: a `.env` file, compared and sealed where it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::bail;
use axum::http::Method;
use serde_json::{Value, json};

use super::{InScope, Item, list, put, refer, say, seal, tier};
use crate::cli::remote::{self, Remote};
use crate::features::secrets::{ImportEntry, ImportState, MOST_AT_ONCE, Tier, compare, dotenv};
use crate::kernel::SecretString;

/// A file to import.
#[derive(clap::Args)]
pub struct ImportArgs {
    /// The `.env` file.
    file: PathBuf,
    #[command(flatten)]
    scope: InScope,
    /// The tier of new secrets: visible, masked or sensitive. Others keep theirs.
    #[arg(long, value_parser = tier, default_value = "masked")]
    tier: Tier,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Shows what would change and, without `--dry-run`, sets it.
pub async fn run(remote: &Remote, args: ImportArgs) -> anyhow::Result<()> {
    let Ok(text) = String::from_utf8(remote::read(&args.file)?) else {
        bail!("{} is no text in UTF-8", args.file.display());
    };
    let text = SecretString::from(text);
    let query = args.scope.query(remote).await?;
    let there: BTreeMap<String, Item> = list(remote, &query)
        .await?
        .into_iter()
        .map(|item| (item.name.clone(), item))
        .collect();
    let known = there
        .iter()
        .map(|(name, item)| (name.clone(), (item.tier, item.value.clone())))
        .collect();
    let preview = compare(&known, dotenv::parse(text.expose()));
    for entry in &preview.entries {
        say(&line(entry, args.tier));
    }
    for mistake in &preview.mistakes {
        say(&format!("! line {}: {}", mistake.line, mistake.message));
    }
    let invalid = |entry: &&ImportEntry| matches!(entry.state, ImportState::Invalid);
    let wrong = preview.mistakes.len() + preview.entries.iter().filter(invalid).count();
    if wrong > 0 {
        bail!(
            "nothing was set: {wrong} places in the file are not right; each is marked with ! above"
        );
    }
    let entries: Vec<ImportEntry> = preview
        .entries
        .into_iter()
        .filter(|entry| !matches!(entry.state, ImportState::Unchanged))
        .collect();
    if entries.len() > MOST_AT_ONCE {
        bail!(
            "nothing was set: the file changes {} secrets, and {MOST_AT_ONCE} are set at once at most; split it",
            entries.len()
        );
    }
    if args.dry_run || entries.is_empty() {
        return Ok(());
    }
    let path = remote.secrets(&format!("/bulk{query}"));
    let _: Value = seal::send(remote, (Method::POST, &path), |sealer| {
        let mut secrets = Vec::with_capacity(entries.len());
        for entry in &entries {
            let tier = entry.tier.unwrap_or(args.tier);
            let mut one = json!({"name": entry.name, "tier": tier});
            if there.get(&entry.name).is_some_and(|item| item.expand) {
                refer(&mut one, &entry.value);
            }
            put(
                &mut one,
                "sealed",
                sealer.seal(&entry.name, tier, &entry.value)?,
            );
            secrets.push(one);
        }
        Ok(json!({"secrets": secrets}))
    })
    .await?;
    say(&format!("set {}", entries.len()));
    Ok(())
}

/// What would be done to one secret, without its value.
fn line(entry: &ImportEntry, new: Tier) -> String {
    let tier = entry.tier.unwrap_or(new).as_str();
    match entry.state {
        ImportState::Added => format!("+ {} ({tier})", entry.name),
        ImportState::Changed => format!("~ {} ({tier})", entry.name),
        ImportState::NewVersion => {
            format!("~ {} ({tier}: a new version, whatever it was)", entry.name)
        }
        ImportState::Unchanged => format!("= {} ({tier})", entry.name),
        ImportState::Invalid => format!(
            "! line {}: {}: {}",
            entry.line,
            entry.name.escape_default(),
            entry.message.as_deref().unwrap_or_default()
        ),
    }
}
