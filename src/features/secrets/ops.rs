//! What can be done with secrets, beside setting them.

use super::effective::{Effective, Left};
use super::model::{Scope, SecretItem, Tier, binding, secret};
use super::rotate::hold;
use super::store;
use crate::authz::permission::{SecretsOwn, SecretsRead, SecretsReveal, SecretsWrite};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{Code, Page, Problem, ProjectId, SecretString, UserId, WorkspaceId};
use crate::store::{Entries, Entry, Grant, Permission, ScopedRead, ScopedTx, StoreError};
use crate::vault::{Sealed, SubmissionKey, WrappedKey};

/// All secrets of a scope by name; values of visible ones only.
///
/// # Errors
/// 404, 403.
pub async fn list(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
) -> Result<Page<SecretItem>, Problem> {
    let grant = ctx.authorize::<SecretsRead>(workspace).await?;
    let items = open_visible(ctx, &grant, scope, Action::SecretRead).await?;
    Ok(Page::whole(
        items
            .into_iter()
            .map(|(row, value)| SecretItem::of(row, value, ctx.now_ms()))
            .collect(),
    ))
}

/// All secrets of a scope by name, with the values of visible ones; told as `action` where there are any.
pub async fn open_visible<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    action: Action,
) -> Result<Vec<(secret::Model, Option<String>)>, Problem> {
    let tx = ctx.services.store.scoped_read(grant).await?;
    require_there(store::there(&tx, scope).await?)?;
    let rows = store::list(&tx, &scope.stored(grant.user())).await?;
    drop(tx);
    let shown = rows.iter().filter(|row| is_visible(row)).count();
    if shown > 0 {
        let detail = format!("values of {shown} visible secrets");
        audit::note(ctx, grant, action, grant.workspace(), detail).await?;
    }
    open_told(ctx, grant, rows).await
}

fn is_visible(row: &secret::Model) -> bool {
    Tier::stored(&row.tier) == Tier::Visible
}

/// The values of those rows that are visible, once that they are shown was told.
///
/// # Errors
/// When the vault or the database does not answer.
pub async fn open_told<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    rows: Vec<secret::Model>,
) -> Result<Vec<(secret::Model, Option<String>)>, Problem> {
    // Key and values of one moment, and of the last: a rotation changes both.
    let tx = ctx.services.store.scoped_snapshot(grant).await?;
    let key = members::key_in(&tx).await?;
    let mut sealed = Vec::with_capacity(rows.len());
    for row in &rows {
        let stored = if is_visible(row) {
            store::value(&tx, row.id, row.version).await?
        } else {
            None
        };
        // One that was moved to a stricter tier since is not shown any more.
        sealed.push(stored.filter(|stored| Tier::stored(&stored.tier) == Tier::Visible));
    }
    drop(tx);
    let mut items = Vec::with_capacity(rows.len());
    for (row, stored) in rows.into_iter().zip(sealed) {
        let value = match stored {
            Some(stored) => Some(
                open(ctx, &key, &row, Tier::Visible, stored.sealed)
                    .await?
                    .expose()
                    .clone(),
            ),
            None => None,
        };
        items.push((row, value));
    }
    Ok(items)
}

/// The current value of a secret whose tier the vault opens.
pub async fn open(
    ctx: &Ctx,
    key: &WrappedKey,
    row: &secret::Model,
    tier: Tier,
    sealed: Vec<u8>,
) -> Result<SecretString, Problem> {
    let bound = binding(row.workspace_id, row.id, row.version, &row.name, tier);
    let opened = ctx
        .services
        .vault
        .reveal(key, &bound, &Sealed(sealed))
        .await?;
    opened
        .into_string()
        .map_err(|_| Problem::internal("a secret's value is not UTF-8"))
}

/// An entry about a secret.
pub fn told(ctx: &Ctx, action: Action, row: &secret::Model, detail: &str) -> Entry {
    let (object, detail) = subject(row, detail);
    audit::entry(ctx, action, object, detail)
}

/// What the log calls a secret, and what it says of it. What a member has of their own is nobody else's to know, so it has its id and
/// not its name.
pub fn subject(row: &secret::Model, detail: &str) -> (String, String) {
    match Scope::of(row) {
        Scope::Workspace => (row.name.clone(), detail.to_owned()),
        Scope::Project(project) => (row.name.clone(), format!("of {project}, {detail}")),
        Scope::Own => (row.id.to_string(), format!("a member's own, {detail}")),
    }
}

/// How a list of names begins that others read: of a member's own it says how many there are, and not which.
pub fn lead(before: &str, names: usize, own: usize) -> String {
    let own = match (names, own) {
        (0, 0) => "none".to_owned(),
        (_, 0) => String::new(),
        (0, own) => format!("{own} of the member's own"),
        (_, own) => format!("{own} of the member's own and"),
    };
    format!("{before} {own}").trim().to_owned()
}

/// A scope whose project is not there answers what a workspace that is not there does.
pub fn require_there(there: bool) -> Result<(), Problem> {
    if there {
        Ok(())
    } else {
        Err(Problem::not_found())
    }
}

/// Two writers met at the same row, or the row was deleted under a writer: as one who comes second, told in one sentence.
pub fn overtaken(name: &str, error: StoreError) -> Problem {
    match error {
        StoreError::Duplicate | StoreError::Absent => changed_meanwhile(name),
        error => error.into(),
    }
}

pub fn changed_meanwhile(name: &str) -> Problem {
    Problem::new(
        Code::Conflict,
        format!("{name} was changed by somebody else just now. Try again."),
    )
}

/// The public key to seal values to, the installation's id, and the number of the root key.
///
/// # Errors
/// 404, 403.
pub async fn submission_key(
    ctx: &Ctx,
    workspace: WorkspaceId,
) -> Result<(SubmissionKey, [u8; 16]), Problem> {
    ctx.authorize::<SecretsRead>(workspace).await?;
    let key = ctx.services.vault.submission_key().await?;
    Ok((key, ctx.services.vault.status().await?.install))
}

/// Deletes all secrets of a project that goes; answers what is told of that, if there were any.
///
/// # Errors
/// `forbidden` when there are some and the caller may not delete secrets; when the database does not answer.
pub async fn delete_with_project(
    ctx: &Ctx,
    tx: &ScopedTx,
    project: ProjectId,
    may_delete: bool,
) -> Result<Option<Entries>, Problem> {
    let rows = store::delete_all(tx, &project.to_string()).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    if !may_delete {
        return Err(Problem::new(
            Code::Forbidden,
            format!(
                "The project has {} secrets, which would go with it, and you may not delete secrets here. Ask an admin to \
                 delete them, or the project.",
                rows.len()
            ),
        ));
    }
    let names: Vec<String> = rows.into_iter().map(|row| row.name).collect();
    let lead = format!("{} with their project:", names.len());
    Ok(Some(audit::in_parts(&lead, &names, |detail| {
        audit::entry(ctx, Action::SecretDelete, project, detail)
    })))
}

/// Whether the caller may set and delete a workspace's secrets, for what depends on that and is not refused without it.
///
/// # Errors
/// 404; when the database does not answer.
pub async fn may_write(ctx: &Ctx, workspace: WorkspaceId) -> Result<bool, Problem> {
    match ctx.authorize::<SecretsWrite>(workspace).await {
        Ok(_) => Ok(true),
        Err(problem) if problem.code == Code::Forbidden => Ok(false),
        Err(problem) => Err(problem),
    }
}

/// Deletes what a member has of their own, who is none any more; answers what is told of that, if there was something.
///
/// # Errors
/// When the database does not answer.
pub async fn delete_with_member(
    ctx: &Ctx,
    tx: &ScopedTx,
    member: UserId,
) -> Result<Option<Entry>, Problem> {
    let rows = store::delete_all(tx, &member.to_string()).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let detail = format!("{} of the member's own, with the membership", rows.len());
    Ok(Some(audit::entry(
        ctx,
        Action::SecretDelete,
        member,
        detail,
    )))
}

/// Deletes a secret with all its versions.
///
/// # Errors
/// 404 when it is not there; `conflict` while others refer to it.
pub async fn delete(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    name: &str,
) -> Result<(), Problem> {
    match scope {
        Scope::Workspace | Scope::Project(_) => {
            let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
            delete_granted(ctx, &grant, scope, name).await
        }
        Scope::Own => {
            let grant = ctx.authorize::<SecretsOwn>(workspace).await?;
            delete_granted(ctx, &grant, scope, name).await
        }
    }
}

async fn delete_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    name: &str,
) -> Result<(), Problem> {
    let tx = ctx.services.store.scoped(grant).await?;
    hold(&tx, true).await?;
    let row = get(&tx, scope, grant.user(), name).await?;
    refuse_when_referred_to(&tx, scope, grant.user(), name).await?;
    store::delete(&tx, row.id).await?;
    tx.commit(told(ctx, Action::SecretDelete, &row, "")).await?;
    Ok(())
}

/// A secret by name.
pub async fn get(
    tx: &ScopedRead,
    scope: Scope,
    user: UserId,
    name: &str,
) -> Result<secret::Model, Problem> {
    // A project that is not there has no secrets.
    store::find(tx, &scope.stored(user), name)
        .await?
        .ok_or_else(Problem::not_found)
}

/// A value that refers to what is gone would keep every container from starting.
async fn refuse_when_referred_to(
    tx: &ScopedRead,
    scope: Scope,
    user: UserId,
    name: &str,
) -> Result<(), Problem> {
    let mut effective = Effective::read(tx, scope, user).await?;
    let detail = match effective.remove(name) {
        Ok(()) => return Ok(()),
        Err(Left::Alone(names)) => format!(
            "{name} is referred to by {}: containers could not start without it. Change these first.",
            names.join(", ")
        ),
        Err(Left::Wrong(what)) => {
            format!("Without {name}, another secret of this name takes its place. {what}")
        }
    };
    Err(Problem::new(Code::Conflict, detail))
}

/// The value of a masked secret, for a person who proved themselves within the last ten minutes.
///
/// # Errors
/// `reauthentication_required`; `forbidden` for a Sensitive one, which the vault refuses too.
pub async fn reveal(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    name: &str,
) -> Result<SecretString, Problem> {
    match scope {
        Scope::Workspace | Scope::Project(_) => {
            let grant = ctx.authorize::<SecretsReveal>(workspace).await?;
            reveal_granted(ctx, &grant, scope, name).await
        }
        Scope::Own => {
            let grant = ctx.authorize::<SecretsOwn>(workspace).await?;
            reveal_granted(ctx, &grant, scope, name).await
        }
    }
}

async fn reveal_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    name: &str,
) -> Result<SecretString, Problem> {
    ctx.require_fresh()?;
    let tx = ctx.services.store.scoped(grant).await?;
    let row = get(&tx, scope, grant.user(), name).await?;
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
    tx.commit(told(ctx, Action::SecretReveal, &row, &detail))
        .await?;
    // Key and value of one moment, and of the last: a rotation changes both.
    let tx = ctx.services.store.scoped_snapshot(grant).await?;
    let key = members::key_in(&tx).await?;
    let stored = store::value(&tx, row.id, row.version)
        .await?
        .filter(|stored| stored.tier == row.tier)
        .ok_or_else(|| changed_meanwhile(name))?;
    drop(tx);
    open(ctx, &key, &row, tier, stored.sealed).await
}
