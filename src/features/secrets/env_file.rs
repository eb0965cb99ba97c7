//! `.env` files in and out: what an import would change, and an export.

use std::collections::BTreeMap;

use serde::Serialize;

use super::dotenv;
use super::model::{Scope, Tier};
use super::ops::{open, open_visible, told};
use super::rules::{name_complaint, value_complaint};
use super::store;
use crate::authz::permission::{SecretsOwn, SecretsRead, SecretsReveal, SecretsWrite};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{Code, Problem, WorkspaceId};
use crate::store::{Entries, Grant, Permission};

/// Most entries and mistakes of a file: as many as a scope can have secrets.
const MOST_LINES: usize = super::model::MOST as usize;

/// What an import would do to a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// There is none of this name.
    Added,
    /// It is visible and has another value.
    Changed,
    /// It is visible and has this value.
    Unchanged,
    /// It is masked or sensitive: whether the value is another one is not told, it would be a new version.
    NewVersion,
    /// It cannot be set.
    Invalid,
}

/// An entry of the file. Its value is the file's; nothing stored is shown.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ImportEntry {
    /// The line that it starts on, from 1.
    pub line: usize,
    /// The name.
    pub name: String,
    /// The value as the file has it, to be sent on.
    pub value: String,
    /// What would be done.
    pub state: ImportState,
    /// The tier of the secret that is there.
    pub tier: Option<Tier>,
    /// Why it cannot be set.
    pub message: Option<String>,
}

/// A part of the file that was not understood.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ImportMistake {
    /// The line that it starts on, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: &'static str,
}

/// What an import would do.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ImportPreview {
    /// What was understood, in the file's order.
    pub entries: Vec<ImportEntry>,
    /// What was not.
    pub mistakes: Vec<ImportMistake>,
}

/// Says what setting all that is in a file would change, and changes nothing.
///
/// # Errors
/// 404, 403.
pub async fn preview(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    text: &str,
) -> Result<ImportPreview, Problem> {
    match scope {
        Scope::Workspace | Scope::Project(_) => {
            let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
            preview_granted(ctx, &grant, scope, text).await
        }
        Scope::Own => {
            let grant = ctx.authorize::<SecretsOwn>(workspace).await?;
            preview_granted(ctx, &grant, scope, text).await
        }
    }
}

async fn preview_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    text: &str,
) -> Result<ImportPreview, Problem> {
    let parsed = dotenv::parse(text);
    let lines = parsed.entries.len() + parsed.mistakes.len();
    if lines > MOST_LINES {
        // What is told of each line is much longer than the line.
        return Err(Problem::new(
            Code::Unprocessable,
            format!(
                "text: It has {lines} entries, and {MOST_LINES} is the most that is looked at. Is it a .env file?"
            ),
        ));
    }
    let there = open_visible(ctx, grant, scope, Action::SecretRead).await?;
    let there = there
        .into_iter()
        .map(|(row, value)| (row.name, (Tier::stored(&row.tier), value)))
        .collect();
    Ok(compare(&there, parsed))
}

/// What setting all that is in a file would change, where this is there: by name the tier, and the value of visible ones. The
/// console has its own, `plan` in assets/src/lib/import-plan.ts; `tests/vectors/import.json` holds for both.
pub fn compare(
    there: &BTreeMap<String, (Tier, Option<String>)>,
    parsed: dotenv::Parsed,
) -> ImportPreview {
    let last: BTreeMap<String, usize> = parsed
        .entries
        .iter()
        .map(|entry| (entry.name.clone(), entry.line))
        .collect();
    let judge = |entry: dotenv::Entry| {
        let known = there.get(&entry.name);
        let again = last.get(&entry.name).filter(|line| **line != entry.line);
        let message = again
            .map(|line| format!("It stands again on line {line}, which counts."))
            .or_else(|| name_complaint(&entry.name))
            .or_else(|| value_complaint(entry.value.expose()));
        let state = match known {
            _ if message.is_some() => ImportState::Invalid,
            None => ImportState::Added,
            Some((_, Some(value))) if value == entry.value.expose() => ImportState::Unchanged,
            Some((_, Some(_))) => ImportState::Changed,
            Some((_, None)) => ImportState::NewVersion,
        };
        ImportEntry {
            line: entry.line,
            value: entry.value.expose().clone(),
            name: entry.name,
            state,
            tier: known.map(|(tier, _)| *tier),
            message,
        }
    };
    ImportPreview {
        entries: parsed.entries.into_iter().map(judge).collect(),
        mistakes: parsed
            .mistakes
            .into_iter()
            .map(|mistake| ImportMistake {
                line: mistake.line,
                message: mistake.message,
            })
            .collect(),
    }
}

/// The secrets of a scope as a `.env` file. Masked ones are in it after re-authentication only, Sensitive ones never: a
/// comment says that they are there.
///
/// # Errors
/// `reauthentication_required` with `masked`; `rate_limited` when the vault opens no more of them for now.
pub async fn export(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    masked: bool,
) -> Result<String, Problem> {
    match (masked, scope) {
        (false, _) => {
            let grant = ctx.authorize::<SecretsRead>(workspace).await?;
            export_granted(ctx, &grant, scope, masked).await
        }
        (true, Scope::Workspace | Scope::Project(_)) => {
            let grant = ctx.authorize::<SecretsReveal>(workspace).await?;
            export_granted(ctx, &grant, scope, masked).await
        }
        (true, Scope::Own) => {
            let grant = ctx.authorize::<SecretsOwn>(workspace).await?;
            export_granted(ctx, &grant, scope, masked).await
        }
    }
}

async fn export_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    masked: bool,
) -> Result<String, Problem> {
    if masked {
        ctx.require_fresh()?;
    }
    let rows = open_visible(ctx, grant, scope, Action::SecretExport).await?;
    let tx = ctx.services.store.scoped(grant).await?;
    // Key and values of one moment: both are read here.
    let key = members::key_to_use(&tx).await?;
    let mut entries: Option<Entries> = None;
    let mut hidden = Vec::with_capacity(rows.len());
    for (row, _) in &rows {
        let opens = masked && Tier::stored(&row.tier) == Tier::Masked;
        let stored = if opens {
            store::value(&tx, row.id, row.version).await?
        } else {
            None
        };
        if stored.is_some() {
            let detail = format!("version {}, in an export", row.version);
            let entry = told(ctx, Action::SecretReveal, row, &detail);
            let entries_before = entries.take().unwrap_or_else(|| {
                let detail = "masked values";
                audit::entry(ctx, Action::SecretExport, grant.workspace(), detail).into()
            });
            entries = Some(entries_before.and(entry));
        }
        hidden.push(stored);
    }
    // Recorded before the values are opened.
    match entries {
        Some(entries) => tx.commit(entries).await?,
        None => drop(tx),
    }
    let mut file = String::new();
    for ((row, value), stored) in rows.into_iter().zip(hidden) {
        let value = match (value, stored) {
            (Some(value), _) => Some(value),
            (None, Some(stored)) => {
                let opened = open(ctx, &key, &row, Tier::Masked, stored.sealed).await?;
                Some(opened.expose().clone())
            }
            (None, None) => None,
        };
        match value {
            Some(value) => dotenv::write(&mut file, &row.name, &value),
            None => {
                let why = match Tier::stored(&row.tier) {
                    Tier::Sensitive => "sensitive: nothing shows it again",
                    _ => "masked: left out of this export",
                };
                file.push_str(&format!("# {} is {why}\n", row.name));
            }
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::secrets::rules;
    use serde_json::{Value, json};

    #[test]
    fn a_file_is_compared_as_the_console_compares_it() {
        let vectors = include_str!("../../../tests/vectors/import.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        assert_eq!(vectors["reserved"], rules::reserved());
        let known = vectors["known"].as_array().unwrap().iter();
        let there: BTreeMap<_, _> = known
            .map(|one| {
                let [name, tier, value] = [&one[0], &one[1], &one[2]].map(Value::as_str);
                (
                    name.unwrap().to_owned(),
                    (Tier::stored(tier.unwrap()), value.map(str::to_owned)),
                )
            })
            .collect();
        for case in vectors["cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let preview = compare(&there, dotenv::parse(text));
            let entries = preview.entries.into_iter().map(|entry| {
                let message = entry.message.unwrap_or_default();
                (
                    entry.line,
                    json!([entry.line, entry.name, entry.state, message]),
                )
            });
            let mistakes = preview.mistakes.into_iter().map(|mistake| {
                (
                    mistake.line,
                    json!([mistake.line, "", "invalid", mistake.message]),
                )
            });
            let mut rows: Vec<_> = entries.chain(mistakes).collect();
            rows.sort_by_key(|(line, _)| *line);
            let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
            assert_eq!(json!(rows), case["rows"], "{text:?}");
        }
    }
}
