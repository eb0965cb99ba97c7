//! The versions of a secret, the way back to one of them, and what can be changed without a new value.

use sea_orm::ActiveValue::Set;

use super::effective::Effective;
use super::model::{
    DeliveredAs, Scope, SecretItem, Tier, VersionItem, binding, references_in, secret, version,
};
use super::ops::{changed_meanwhile, get, overtaken, told};
use super::rotate::{hold, under_current_key};
use super::rules::{
    delivered_as_complaint, description_complaint, expiry_complaint, references_complaint,
};
use super::store;
use crate::authz::permission::{SecretsOwn, SecretsRead, SecretsWrite};
use crate::context::Ctx;
use crate::features::audit::Action;
use crate::features::members;
use crate::kernel::{Code, Page, Problem, WorkspaceId};
use crate::store::{Grant, Permission, ScopedTx};
use crate::vault::{Sealed, WrappedKey};

/// The versions of a secret, the newest first, without values.
///
/// # Errors
/// 404 when it is not there.
pub async fn list(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    name: &str,
) -> Result<Page<VersionItem>, Problem> {
    let grant = ctx.authorize::<SecretsRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let secret = get(&tx, scope, grant.user(), name).await?;
    let rows = store::versions(&tx, secret.id).await?;
    let item = |row: version::Model| VersionItem {
        version: row.version,
        tier: Tier::stored(&row.tier),
        current: row.version == secret.version,
        created_by: row.created_by,
        created_at_ms: row.created_at_ms,
    };
    Ok(Page::whole(rows.into_iter().map(item).collect()))
}

/// What is to be different; what is none stays.
pub struct Change {
    /// A stricter tier.
    pub tier: Option<Tier>,
    /// For people.
    pub description: Option<String>,
    /// Until when the value is good, or that this is not known.
    pub expires_at_ms: Option<Option<i64>>,
    /// Whether references in the value count.
    pub expand: Option<bool>,
    /// What the value refers to.
    pub references: Option<Vec<String>>,
    /// How it is given to containers.
    pub delivered_as: Option<DeliveredAs>,
}

/// Makes the value of an earlier version the current one again, as a new version and without showing it. Its tier is the
/// stricter one of that version's and the current one's.
///
/// # Errors
/// 404; `unprocessable` for a version that is not there or current; `conflict` when somebody else was faster.
pub async fn roll_back(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    name: &str,
    number: i64,
) -> Result<SecretItem, Problem> {
    match scope {
        Scope::Workspace | Scope::Project(_) => {
            let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
            roll_back_granted(ctx, &grant, scope, name, number).await
        }
        Scope::Own => {
            let grant = ctx.authorize::<SecretsOwn>(workspace).await?;
            roll_back_granted(ctx, &grant, scope, name, number).await
        }
    }
}

async fn roll_back_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    name: &str,
    number: i64,
) -> Result<SecretItem, Problem> {
    let (key, row, earlier) = {
        let tx = ctx.services.store.scoped_snapshot(grant).await?;
        let key = members::key_in(&tx).await?;
        let row = get(&tx, scope, grant.user(), name).await?;
        let earlier = store::value(&tx, row.id, number).await?;
        let earlier = earlier.filter(|earlier| earlier.version < row.version);
        let earlier = earlier.ok_or_else(|| {
            unprocessable(format!(
                "version: {name} has no version {number} before the current one, which is {}.",
                row.version
            ))
        })?;
        (key, row, earlier)
    };
    let refers_to = match references_in(&earlier.refers_to) {
        _ if !row.expand => Vec::new(),
        Some(names) => names,
        None => {
            return Err(unprocessable(format!(
                "version: What the value of version {number} refers to was never said. Turn references of {name} off first."
            )));
        }
    };
    let was = Tier::stored(&earlier.tier);
    let tier = was.max(Tier::stored(&row.tier));
    let next = row.version + 1;
    let sealed = reseal(ctx, &key, &row, (number, was), earlier.sealed, (next, tier)).await?;
    let tx = ctx.services.store.scoped(grant).await?;
    let current_key = hold(&tx, row.expand).await?;
    still(&tx, &row).await?;
    if row.expand {
        let mut effective = Effective::read(&tx, scope, grant.user()).await?;
        effective.set(name, refers_to);
        if let Some(message) = effective.complaint(name) {
            return Err(unprocessable(format!("version: {message}")));
        }
    }
    let bound = binding(row.workspace_id, row.id, next, name, tier);
    let sealed = under_current_key(ctx, &current_key, &key, &bound, sealed.0).await?;
    let (now, user) = (ctx.now_ms(), ctx.actor.user());
    tx.insert(version::ActiveModel {
        workspace_id: Set(row.workspace_id),
        secret_id: Set(row.id),
        version: Set(next),
        tier: Set(tier.as_str().to_owned()),
        sealed: Set(sealed),
        refers_to: Set(earlier.refers_to.clone()),
        created_by: Set(user),
        created_at_ms: Set(now),
    })
    .await
    .map_err(|error| overtaken(name, error))?;
    let changed = tx
        .update(secret::ActiveModel {
            workspace_id: Set(row.workspace_id),
            id: Set(row.id),
            tier: Set(tier.as_str().to_owned()),
            version: Set(next),
            refers_to: Set(earlier.refers_to),
            updated_by: Set(user),
            updated_at_ms: Set(now),
            ..Default::default()
        })
        .await
        .map_err(|error| overtaken(name, error))?;
    let detail = format!("version {next}, {}, from version {number}", tier.as_str());
    tx.commit(told(ctx, Action::SecretRollback, &changed, &detail))
        .await?;
    Ok(SecretItem::of(changed, None, now))
}

/// Changes what is said of a secret, or moves it to a stricter tier: then every version that is kept in a weaker one is
/// sealed anew in the stricter one, so that none of them can be shown any more.
///
/// # Errors
/// 404; `unprocessable` for a weaker tier and what else is not right; `conflict` when somebody else was faster.
pub async fn change(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    name: &str,
    change: Change,
) -> Result<SecretItem, Problem> {
    match scope {
        Scope::Workspace | Scope::Project(_) => {
            let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
            change_granted(ctx, &grant, scope, name, change).await
        }
        Scope::Own => {
            let grant = ctx.authorize::<SecretsOwn>(workspace).await?;
            change_granted(ctx, &grant, scope, name, change).await
        }
    }
}

async fn change_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    name: &str,
    change: Change,
) -> Result<SecretItem, Problem> {
    let now = ctx.now_ms();
    let complaint = description_complaint(change.description.as_deref())
        .or_else(|| expiry_complaint(change.expires_at_ms.flatten(), now))
        .or_else(|| references_complaint(change.references.as_deref()))
        .or_else(|| delivered_as_complaint(name, change.delivered_as));
    if let Some(message) = complaint {
        return Err(unprocessable(message));
    }
    let (key, row, refers_to, weaker) = {
        let tx = ctx.services.store.scoped_snapshot(grant).await?;
        let key = members::key_in(&tx).await?;
        let row = get(&tx, scope, grant.user(), name).await?;
        let refers_to = references_after(&row, &change)?;
        let weaker = match change.tier {
            Some(tier) => weaker_versions(&tx, &row, tier).await?,
            None => Vec::new(),
        };
        (key, row, refers_to, weaker)
    };
    let tier = change.tier.unwrap_or_else(|| Tier::stored(&row.tier));
    let mut resealed = Vec::with_capacity(weaker.len());
    for old in weaker {
        let (number, was) = (old.version, Tier::stored(&old.tier));
        let sealed = reseal(ctx, &key, &row, (number, was), old.sealed, (number, tier)).await?;
        resealed.push((number, sealed));
    }
    let expand = change.expand.unwrap_or(row.expand);
    let tx = ctx.services.store.scoped(grant).await?;
    let current_key = hold(&tx, expand).await?;
    still(&tx, &row).await?;
    if let Some(refers_to) = refers_to.as_ref().filter(|_| expand) {
        let mut effective = Effective::read(&tx, scope, grant.user()).await?;
        effective.set(name, refers_to.clone());
        if let Some(message) = effective.complaint(name) {
            return Err(unprocessable(format!("references: {message}")));
        }
    }
    for (number, sealed) in resealed {
        let bound = binding(row.workspace_id, row.id, number, name, tier);
        let sealed = under_current_key(ctx, &current_key, &key, &bound, sealed.0).await?;
        tx.update(version::ActiveModel {
            workspace_id: Set(row.workspace_id),
            secret_id: Set(row.id),
            version: Set(number),
            tier: Set(tier.as_str().to_owned()),
            sealed: Set(sealed),
            ..Default::default()
        })
        .await
        .map_err(|error| overtaken(name, error))?;
    }
    if let Some(names) = &change.references {
        tx.update(version::ActiveModel {
            workspace_id: Set(row.workspace_id),
            secret_id: Set(row.id),
            version: Set(row.version),
            refers_to: Set(names.join(" ")),
            ..Default::default()
        })
        .await
        .map_err(|error| overtaken(name, error))?;
    }
    let mut new = secret::ActiveModel {
        workspace_id: Set(row.workspace_id),
        id: Set(row.id),
        tier: Set(tier.as_str().to_owned()),
        expand: Set(expand),
        ..Default::default()
    };
    if let Some(refers_to) = refers_to {
        new.refers_to = Set(refers_to.join(" "));
    }
    let mut what = vec![tier.as_str()];
    if let Some(description) = change.description {
        new.description = Set(description);
        what.push("description");
    }
    if let Some(expires_at_ms) = change.expires_at_ms {
        new.expires_at_ms = Set(expires_at_ms);
        new.reminded = Set(0);
        what.push("expiry");
    }
    if change.expand.is_some() || change.references.is_some() {
        what.push("references");
    }
    if let Some(form) = change.delivered_as {
        new.delivered_as = Set(form.as_str().to_owned());
        what.push(form.as_str());
    }
    let changed = tx
        .update(new)
        .await
        .map_err(|error| overtaken(name, error))?;
    tx.commit(told(ctx, Action::SecretChange, &changed, &what.join(", ")))
        .await?;
    Ok(SecretItem::of(changed, None, now))
}

/// What the value refers to after a change; none when nobody has said, and it does not matter.
fn references_after(row: &secret::Model, change: &Change) -> Result<Option<Vec<String>>, Problem> {
    let said = change.references.clone();
    match said.or_else(|| references_in(&row.refers_to)) {
        // It was sealed by a client that did not say, and is not opened for that.
        None if change.expand.unwrap_or(row.expand) => Err(unprocessable(
            "references: Say which names the value refers to, or [] for none.".to_owned(),
        )),
        names => Ok(names),
    }
}

/// The versions to be sealed anew when a secret moves to `tier`.
async fn weaker_versions(
    tx: &crate::store::ScopedRead,
    row: &secret::Model,
    tier: Tier,
) -> Result<Vec<version::Model>, Problem> {
    let current = Tier::stored(&row.tier);
    if tier < current {
        return Err(unprocessable(format!(
            "tier: {} is {}, and a stored value moves to a stricter tier only. To have it {}, set a new value with that tier.",
            row.name,
            current.as_str(),
            tier.as_str()
        )));
    }
    if tier == current {
        return Ok(Vec::new());
    }
    let all = store::versions(tx, row.id).await?;
    Ok(all
        .into_iter()
        .filter(|old| Tier::stored(&old.tier) < tier)
        .collect())
}

async fn reseal(
    ctx: &Ctx,
    key: &WrappedKey,
    row: &secret::Model,
    (from, was): (i64, Tier),
    sealed: Vec<u8>,
    (to, tier): (i64, Tier),
) -> Result<Sealed, Problem> {
    let bound = |number, tier| binding(row.workspace_id, row.id, number, &row.name, tier);
    let sealed = Sealed(sealed);
    Ok(ctx
        .services
        .vault
        .reseal((key, &bound(from, was)), &sealed, (key, &bound(to, tier)))
        .await?)
}

/// Holds the row as it was read until the transaction ends.
async fn still(tx: &ScopedTx, row: &secret::Model) -> Result<(), Problem> {
    let current = store::lock(tx, &row.scope, &[row.name.as_str()]).await?;
    let same = current.get(&row.name).is_some_and(|now| {
        (now.id, now.version, &now.tier) == (row.id, row.version, &row.tier)
            && (now.expand, &now.refers_to) == (row.expand, &row.refers_to)
    });
    if same {
        return Ok(());
    }
    Err(changed_meanwhile(&row.name))
}

fn unprocessable(message: String) -> Problem {
    Problem::new(Code::Unprocessable, message)
}
