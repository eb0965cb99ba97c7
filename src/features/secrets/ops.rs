//! What can be done with secrets.

use sea_orm::ActiveValue::Set;

use super::model::{self, SecretItem, Tier, binding, secret, version};
use super::store;
use crate::authz::permission::{SecretsRead, SecretsReveal, SecretsWrite};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{Code, Page, Problem, SecretId, SecretString, WorkspaceId};
use crate::store::{ScopedRead, StoreError};
use crate::vault::Sealed;

/// All secrets by name; values of visible ones only.
///
/// # Errors
/// 404, 403.
pub async fn list(ctx: &Ctx, workspace: WorkspaceId) -> Result<Page<SecretItem>, Problem> {
    let grant = ctx.authorize::<SecretsRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let rows = store::list(&tx).await?;
    drop(tx);
    let visible = |row: &secret::Model| Tier::stored(&row.tier) == Tier::Visible;
    let shown = rows.iter().filter(|row| visible(row)).count();
    if shown > 0 {
        let detail = format!("values of {shown} visible secrets");
        audit::note(ctx, &grant, Action::SecretRead, workspace, detail).await?;
    }
    // Key and values of one moment, and of the last: a rotation changes both.
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let key = members::key_in(&tx).await?;
    let mut sealed = Vec::with_capacity(rows.len());
    for row in &rows {
        sealed.push(if visible(row) {
            store::value(&tx, row.id, row.version).await?
        } else {
            None
        });
    }
    drop(tx);
    let mut items = Vec::with_capacity(rows.len());
    for (row, stored) in rows.into_iter().zip(sealed) {
        let value = match stored {
            Some(stored) => {
                let bound = binding(workspace, row.id, row.version, &row.name, Tier::Visible);
                let opened = ctx
                    .services
                    .vault
                    .reveal(&key, &bound, &Sealed(stored.sealed))
                    .await?;
                Some(String::from_utf8_lossy(opened.expose()).into_owned())
            }
            None => None,
        };
        items.push(item(row, value));
    }
    Ok(Page::whole(items))
}

fn item(row: secret::Model, value: Option<String>) -> SecretItem {
    SecretItem {
        tier: Tier::stored(&row.tier),
        name: row.name,
        description: row.description,
        version: row.version,
        value,
        updated_at_ms: row.updated_at_ms,
        updated_by: row.updated_by,
    }
}

/// Sets a secret: a new one, or a new version. To a weaker tier it moves only because the value is a new one.
///
/// # Errors
/// `unprocessable` naming the field that is not right; `conflict` when somebody else was faster or the workspace is full.
pub async fn set(
    ctx: &Ctx,
    workspace: WorkspaceId,
    name: &str,
    tier: Tier,
    value: SecretString,
    description: Option<String>,
) -> Result<SecretItem, Problem> {
    let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
    if let Some(message) = model::name_complaint(name) {
        return Err(Problem::new(
            Code::Unprocessable,
            format!("name: {message}"),
        ));
    }
    if let Some(message) = model::value_complaint(value.expose()) {
        return Err(Problem::new(
            Code::Unprocessable,
            format!("value: {message}"),
        ));
    }
    if description
        .as_ref()
        .is_some_and(|text| text.chars().count() > 500)
    {
        return Err(Problem::new(
            Code::Unprocessable,
            "description: At most 500 characters.",
        ));
    }
    let now = ctx.now_ms();
    // The version enters the ciphertext, so it is read first and must still be the last one when the row is written.
    let known = {
        let tx = ctx.services.store.scoped_read(&grant).await?;
        store::find(&tx, name).await?
    };
    let id = known.as_ref().map_or_else(
        || SecretId::new(&ctx.services.clock, &ctx.services.rng),
        |row| row.id,
    );
    let number = known.as_ref().map_or(1, |row| row.version + 1);
    let bound = binding(workspace, id, number, name, tier);
    let tx = ctx.services.store.scoped(&grant).await?;
    let current = store::find(&tx, name).await?;
    if current.as_ref().map(|row| (row.id, row.version))
        != known.as_ref().map(|row| (row.id, row.version))
    {
        return Err(changed_meanwhile(name));
    }
    // In the transaction, which keeps the key what it is: what a rotation of it would miss is not written.
    let key = members::key_to_use(&tx).await?;
    let sealed = ctx
        .services
        .vault
        .seal(&key, &bound, value.into_bytes())
        .await?;
    let row = match current {
        None => {
            refuse_when_full(&tx).await?;
            tx.insert(secret::ActiveModel {
                workspace_id: Set(workspace),
                id: Set(id),
                name: Set(name.to_owned()),
                tier: Set(tier.as_str().to_owned()),
                description: Set(description.unwrap_or_default()),
                version: Set(number),
                created_by: Set(ctx.actor.user()),
                created_at_ms: Set(now),
                updated_by: Set(ctx.actor.user()),
                updated_at_ms: Set(now),
            })
            .await
            .map_err(|error| overtaken(name, error))?
        }
        Some(row) => tx
            .update(secret::ActiveModel {
                workspace_id: Set(workspace),
                id: Set(id),
                tier: Set(tier.as_str().to_owned()),
                description: Set(description.unwrap_or(row.description)),
                version: Set(number),
                updated_by: Set(ctx.actor.user()),
                updated_at_ms: Set(now),
                ..Default::default()
            })
            .await
            .map_err(|error| overtaken(name, error))?,
    };
    tx.insert(version::ActiveModel {
        workspace_id: Set(workspace),
        secret_id: Set(id),
        version: Set(number),
        tier: Set(tier.as_str().to_owned()),
        sealed: Set(sealed.0),
        created_by: Set(ctx.actor.user()),
        created_at_ms: Set(now),
    })
    .await
    .map_err(|error| overtaken(name, error))?;
    let detail = format!("version {number}, {}", tier.as_str());
    tx.commit(audit::entry(ctx, Action::SecretSet, name, detail))
        .await?;
    Ok(item(row, None))
}

/// Two writers met at the same row, or the row was deleted under a writer: as one who comes second, told in one sentence.
fn overtaken(name: &str, error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate | StoreError::Absent => changed_meanwhile(name),
        error => error.into(),
    }
}

fn changed_meanwhile(name: &str) -> Problem {
    Problem::new(
        Code::Conflict,
        format!("{name} was changed by somebody else just now. Try again."),
    )
}

async fn refuse_when_full(tx: &ScopedRead) -> Result<(), Problem> {
    if store::count(tx).await? < model::MOST {
        return Ok(());
    }
    Err(Problem::new(
        Code::Conflict,
        format!(
            "The workspace has {} secrets, which is the most it can have. Delete one that is not needed any more.",
            model::MOST
        ),
    ))
}

/// Deletes a secret with all its versions.
///
/// # Errors
/// 404 when it is not there.
pub async fn delete(ctx: &Ctx, workspace: WorkspaceId, name: &str) -> Result<(), Problem> {
    let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let row = store::find(&tx, name)
        .await?
        .ok_or_else(Problem::not_found)?;
    store::delete(&tx, row.id).await?;
    tx.commit(audit::entry(ctx, Action::SecretDelete, name, ""))
        .await?;
    Ok(())
}

/// The value of a masked secret, for a person who proved themselves within the last ten minutes.
///
/// # Errors
/// `reauthentication_required`; `forbidden` for a Sensitive one, which the vault refuses too.
pub async fn reveal(
    ctx: &Ctx,
    workspace: WorkspaceId,
    name: &str,
) -> Result<SecretString, Problem> {
    let grant = ctx.authorize::<SecretsReveal>(workspace).await?;
    ctx.require_fresh()?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let row = store::find(&tx, name)
        .await?
        .ok_or_else(Problem::not_found)?;
    let tier = Tier::stored(&row.tier);
    if tier == Tier::Sensitive {
        return Err(Problem::new(
            Code::Forbidden,
            format!(
                "{name} is Sensitive: it can be set, rotated and deleted, and nothing shows it again."
            ),
        ));
    }
    // Recorded before the value is opened: a reveal without its entry cannot happen.
    let detail = format!("version {}", row.version);
    tx.commit(audit::entry(ctx, Action::SecretReveal, name, detail))
        .await?;
    // Key and value of one moment, and of the last: a rotation changes both.
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let key = members::key_in(&tx).await?;
    let stored = store::value(&tx, row.id, row.version)
        .await?
        .ok_or_else(Problem::not_found)?;
    drop(tx);
    let bound = binding(workspace, row.id, row.version, &row.name, tier);
    let opened = ctx
        .services
        .vault
        .reveal(&key, &bound, &Sealed(stored.sealed))
        .await?;
    opened
        .into_string()
        .map_err(|_| Problem::internal("a secret's value is not UTF-8"))
}
