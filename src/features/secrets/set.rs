//! Setting secrets: one, or many of which all are set or none.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sea_orm::ActiveValue::Set;

use super::effective::Effective;
use super::model::{self, DeliveredAs, Scope, SecretItem, Tier, binding, secret, version};
use super::ops::{changed_meanwhile, overtaken, require_there, told};
use super::references;
use super::rotate::{hold, under_current_key};
use super::rules::{
    delivered_as_complaint, description_complaint, expiry_complaint, name_complaint,
    references_complaint, value_complaint,
};
use super::store;
use super::wrong::Wrong;
use crate::authz::permission::{SecretsOwn, SecretsWrite};
use crate::context::Ctx;
use crate::features::audit::Action;
use crate::features::members;
use crate::kernel::{Code, Problem, SecretId, SecretString, WorkspaceId};
use crate::store::{Entries, Grant, Permission, ScopedRead};
use crate::vault::{Binding, Sealed, Submission, VaultError, WrappedKey};

/// Most secrets that are set at once.
pub const MOST_AT_ONCE: usize = 200;

/// A value on its way in.
pub enum Value {
    /// As it is, from a script or a form.
    Plain(SecretString),
    /// As a client encrypted it to the vault: nothing here can read it.
    Sealed(Submission),
}

impl Value {
    /// A value that a client sealed, from its parts in base64.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn sealed(root: u32, enc: &str, ciphertext: &str) -> Result<Self, String> {
        let enc = BASE64_STANDARD.decode(enc).ok();
        let enc: Option<[u8; 32]> = enc.and_then(|bytes| bytes.try_into().ok());
        let ciphertext = BASE64_STANDARD.decode(ciphertext).ok();
        match (enc, ciphertext) {
            (Some(enc), Some(ciphertext)) => Ok(Self::Sealed(Submission {
                root,
                enc,
                ciphertext,
            })),
            (None, _) => Err("sealed: enc is not 32 bytes in base64.".to_owned()),
            (_, None) => Err("sealed: ciphertext is not base64.".to_owned()),
        }
    }
}

/// What is to be set.
pub struct NewSecret {
    /// Name of the environment variable.
    pub name: String,
    /// How much of it may be seen again.
    pub tier: Tier,
    /// The value.
    pub value: Value,
    /// For people; kept as it was without it.
    pub description: Option<String>,
    /// Until when the value is good. That of the value before does not hold for this one.
    pub expires_at_ms: Option<i64>,
    /// Whether references in the value count; kept as it was without it.
    pub expand: Option<bool>,
    /// What a value that the server cannot read refers to.
    pub references: Option<Vec<String>>,
    /// How it is given to containers; kept as it was without it.
    pub delivered_as: Option<DeliveredAs>,
}

/// Sets a secret: a new one, or a new version. To a weaker tier it moves only because the value is a new one.
///
/// # Errors
/// `unprocessable` naming the field that is not right; `conflict` when somebody else was faster or the scope is full.
pub async fn set(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    new: NewSecret,
) -> Result<SecretItem, Problem> {
    let set = set_many(ctx, workspace, scope, vec![new], Vec::new()).await?;
    set.into_iter()
        .next()
        .ok_or_else(|| Problem::internal("a secret was set and is not there"))
}

/// Demands what setting takes, before anything else is said of a request.
///
/// # Errors
/// 404, 403.
pub async fn may_set(ctx: &Ctx, workspace: WorkspaceId, scope: Scope) -> Result<(), Problem> {
    match scope {
        Scope::Workspace | Scope::Project(_) => {
            ctx.authorize::<SecretsWrite>(workspace).await.map(|_| ())
        }
        Scope::Own => ctx.authorize::<SecretsOwn>(workspace).await.map(|_| ()),
    }
}

/// Sets all of these or none. `wrong` are names with what is already known not to be right.
///
/// # Errors
/// `unprocessable` with everything that is not right, by name; else as [`set`].
pub async fn set_many(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    new: Vec<NewSecret>,
    wrong: Vec<(String, String)>,
) -> Result<Vec<SecretItem>, Problem> {
    match scope {
        Scope::Workspace | Scope::Project(_) => {
            let grant = ctx.authorize::<SecretsWrite>(workspace).await?;
            set_granted(ctx, &grant, scope, new, wrong).await
        }
        Scope::Own => {
            let grant = ctx.authorize::<SecretsOwn>(workspace).await?;
            set_granted(ctx, &grant, scope, new, wrong).await
        }
    }
}

/// A secret to be set, and what follows from what is there.
struct Planned {
    new: NewSecret,
    known: Option<secret::Model>,
    id: SecretId,
    number: i64,
    expand: bool,
    /// None when nobody has said.
    refers_to: Option<Vec<String>>,
}

async fn set_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    new: Vec<NewSecret>,
    known_wrong: Vec<(String, String)>,
) -> Result<Vec<SecretItem>, Problem> {
    let asked = new.len() + known_wrong.len();
    if asked == 0 || asked > MOST_AT_ONCE {
        return Err(Problem::new(
            Code::Unprocessable,
            format!("secrets: {asked} are to be set; between 1 and {MOST_AT_ONCE} can be at once."),
        ));
    }
    let of = scope.stored(grant.user());
    let mut wrong = Wrong::about(asked);
    for (name, message) in known_wrong {
        wrong.add(&name, &message);
    }
    let mut seen = BTreeSet::new();
    for one in &new {
        if !seen.insert(one.name.as_str()) {
            wrong.add(&one.name, "name: It stands twice. Remove one of them.");
        }
        if let Some(message) = complaint(one, ctx.now_ms()) {
            wrong.add(&one.name, &message);
        }
    }
    wrong.none()?;
    // The version enters the ciphertext, so it is read first and must still be the last one when the row is written.
    let (key, planned) = {
        let tx = ctx.services.store.scoped_snapshot(grant).await?;
        require_there(store::there(&tx, scope).await?)?;
        let key = members::key_in(&tx).await?;
        let planned = plan(ctx, &tx, &of, new, &mut wrong).await?;
        if planned.iter().any(|one| one.expand) {
            let mut effective = Effective::read(&tx, scope, grant.user()).await?;
            for one in &planned {
                effective.set(&one.new.name, one.expanded());
            }
            for one in planned.iter().filter(|one| one.expand) {
                let name = one.new.name.as_str();
                if let Some(message) = effective.complaint(name) {
                    wrong.add(name, &format!("value: {message}"));
                }
            }
        }
        (key, planned)
    };
    wrong.none()?;
    let mut sealed = Vec::with_capacity(planned.len());
    for one in planned {
        let name = one.new.name.clone();
        match seal(ctx, grant.workspace(), &key, one).await? {
            Ok(one) => sealed.push(one),
            Err(message) => wrong.add(&name, &message),
        }
    }
    wrong.none()?;
    write(ctx, grant, scope, &key, sealed).await
}

impl Planned {
    /// What is put in when the value is delivered.
    fn expanded(&self) -> Vec<String> {
        if self.expand {
            self.refers_to.clone().unwrap_or_default()
        } else {
            Vec::new()
        }
    }
}

fn complaint(new: &NewSecret, now_ms: i64) -> Option<String> {
    if let Some(message) = name_complaint(&new.name) {
        return Some(format!("name: {message}"));
    }
    if let Value::Plain(value) = &new.value
        && let Some(message) = value_complaint(value.expose())
    {
        return Some(format!("value: {message}"));
    }
    description_complaint(new.description.as_deref())
        .or_else(|| expiry_complaint(new.expires_at_ms, now_ms))
        .or_else(|| references_complaint(new.references.as_deref()))
        .or_else(|| delivered_as_complaint(&new.name, new.delivered_as))
}

async fn plan(
    ctx: &Ctx,
    tx: &ScopedRead,
    of: &str,
    new: Vec<NewSecret>,
    wrong: &mut Wrong,
) -> Result<Vec<Planned>, Problem> {
    let names: Vec<&str> = new.iter().map(|one| one.name.as_str()).collect();
    let mut known = store::named(tx, of, &names).await?;
    let mut planned = Vec::with_capacity(new.len());
    for one in new {
        let known = known.remove(&one.name);
        let expand = one
            .expand
            .unwrap_or_else(|| known.as_ref().is_some_and(|row| row.expand));
        let refers_to = match (&one.value, &one.references) {
            (Value::Plain(value), _) => Some(references::of(value.expose())),
            (Value::Sealed(_), Some(declared)) => Some(declared.clone()),
            (Value::Sealed(_), None) => None,
        };
        if expand && refers_to.is_none() {
            wrong.add(
                &one.name,
                "references: The value is expanded and cannot be read here: say which names it refers to, or [] for none.",
            );
        }
        planned.push(Planned {
            id: known.as_ref().map_or_else(
                || SecretId::new(&ctx.services.clock, &ctx.services.rng),
                |row| row.id,
            ),
            number: known.as_ref().map_or(1, |row| row.version + 1),
            new: one,
            known,
            expand,
            refers_to,
        });
    }
    Ok(planned)
}

/// What is written of a [`Planned`] secret.
struct Ready {
    name: String,
    known: Option<secret::Model>,
    row: secret::ActiveModel,
    version: version::ActiveModel,
    bound: Binding,
    told: String,
    /// What is put in when the value is delivered.
    expanded: Vec<String>,
}

/// Seals a value; or says why what the client sealed is not taken.
async fn seal(
    ctx: &Ctx,
    workspace: WorkspaceId,
    key: &WrappedKey,
    planned: Planned,
) -> Result<Result<Ready, String>, Problem> {
    let expanded = planned.expanded();
    let Planned {
        new,
        known,
        id,
        number,
        expand,
        refers_to,
    } = planned;
    let (vault, tier) = (&ctx.services.vault, new.tier);
    let bound = binding(workspace, id, number, &new.name, tier);
    let (sealed, how): (Sealed, _) = match new.value {
        Value::Plain(value) => (vault.seal(key, &bound, value.into_bytes()).await?, ""),
        Value::Sealed(submission) => match vault.seal_submitted(key, &bound, &submission).await {
            Ok(sealed) => (sealed, ", sealed by the client"),
            Err(VaultError::DoesNotDecrypt) => {
                return not_opened(ctx, submission.root, &new.name, tier)
                    .await
                    .map(Err);
            }
            Err(VaultError::Refused { reason }) => return Ok(Err(format!("sealed: {reason}."))),
            Err(error) => return Err(error.into()),
        },
    };
    let (now, user) = (ctx.now_ms(), ctx.actor.user());
    let refers_to = match refers_to {
        Some(names) => names.join(" "),
        None => model::UNSAID.to_owned(),
    };
    let mut row = secret::ActiveModel {
        workspace_id: Set(workspace),
        id: Set(id),
        tier: Set(tier.as_str().to_owned()),
        version: Set(number),
        expand: Set(expand),
        refers_to: Set(refers_to.clone()),
        expires_at_ms: Set(new.expires_at_ms),
        reminded: Set(0),
        updated_by: Set(user),
        updated_at_ms: Set(now),
        ..Default::default()
    };
    if let Some(description) = new.description {
        row.description = Set(description);
    }
    if let Some(form) = new.delivered_as {
        row.delivered_as = Set(form.as_str().to_owned());
    }
    Ok(Ok(Ready {
        told: format!("version {number}, {}{how}", tier.as_str()),
        name: new.name,
        expanded,
        known,
        row,
        bound,
        version: version::ActiveModel {
            workspace_id: Set(workspace),
            secret_id: Set(id),
            version: Set(number),
            tier: Set(tier.as_str().to_owned()),
            sealed: Set(sealed.0),
            refers_to: Set(refers_to),
            created_by: Set(user),
            created_at_ms: Set(now),
        },
    }))
}

/// Why the vault could not open a submission, for whoever sent it.
async fn not_opened(ctx: &Ctx, root: u32, name: &str, tier: Tier) -> Result<String, Problem> {
    let status = ctx.services.vault.status().await?;
    if status.root_keys.iter().all(|live| live.number != root) {
        return Ok(format!(
            "sealed: Key {root} is retired or was never there. Fetch the submission key again and seal the value to it."
        ));
    }
    Ok(format!(
        "sealed: The value was not sealed for {name} as {} in this workspace, or it was altered on the way. Seal it for exactly \
         this name, tier and workspace; if that was done, fetch the submission key again.",
        tier.as_str()
    ))
}

async fn write<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    scope: Scope,
    key: &WrappedKey,
    ready: Vec<Ready>,
) -> Result<Vec<SecretItem>, Problem> {
    let of = scope.stored(grant.user());
    let expanded = |one: &Ready| matches!(one.row.expand, Set(true));
    let references = ready.iter().any(expanded);
    let tx = ctx.services.store.scoped(grant).await?;
    let current_key = hold(&tx, references).await?;
    // Before the rows, as whoever deletes a project does it.
    require_there(store::keep_there(&tx, scope).await?)?;
    if references {
        // Others may have changed what this refers to since it was looked at.
        let mut effective = Effective::read(&tx, scope, grant.user()).await?;
        for one in &ready {
            effective.set(&one.name, one.expanded.clone());
        }
        let mut names = ready
            .iter()
            .filter(|one| expanded(one))
            .map(|one| &one.name);
        if let Some(message) = names.find_map(|name| effective.complaint(name)) {
            return Err(Problem::new(
                Code::Conflict,
                format!("Others changed secrets meanwhile. {message}"),
            ));
        }
    }
    let names: Vec<&str> = ready.iter().map(|one| one.name.as_str()).collect();
    let current = store::lock(&tx, &of, &names).await?;
    let added = ready.iter().filter(|one| one.known.is_none()).count();
    if added > 0 {
        refuse_when_full(&tx, &of, added).await?;
    }
    let (mut items, mut entries) = (Vec::new(), None::<Entries>);
    for one in ready {
        let version_of = |row: &secret::Model| (row.id, row.version);
        if current.get(&one.name).map(version_of) != one.known.as_ref().map(version_of) {
            return Err(changed_meanwhile(&one.name));
        }
        let mut row = one.row;
        let written = if one.known.is_some() {
            tx.update(row).await
        } else {
            row.name = Set(one.name.clone());
            row.scope = Set(of.clone());
            row.created_by = row.updated_by.clone();
            row.created_at_ms = row.updated_at_ms.clone();
            if row.description.is_not_set() {
                row.description = Set(String::new());
            }
            if row.delivered_as.is_not_set() {
                row.delivered_as = Set(DeliveredAs::default().as_str().to_owned());
            }
            row.last_delivered_at_ms = Set(None);
            tx.insert(row).await
        };
        let row = written.map_err(|error| overtaken(&one.name, error))?;
        let mut version = one.version;
        let sealed = under_current_key(
            ctx,
            &current_key,
            key,
            &one.bound,
            version.sealed.take().unwrap_or_default(),
        );
        version.sealed = Set(sealed.await?);
        tx.insert(version)
            .await
            .map_err(|error| overtaken(&one.name, error))?;
        let entry = told(ctx, Action::SecretSet, &row, &one.told);
        entries = Some(match entries {
            None => Entries::from(entry),
            Some(entries) => entries.and(entry),
        });
        items.push(SecretItem::of(row, None, ctx.now_ms()));
    }
    if let Some(entries) = entries {
        tx.commit(entries).await?;
    }
    Ok(items)
}

async fn refuse_when_full(tx: &ScopedRead, of: &str, added: usize) -> Result<(), Problem> {
    let there = store::count(tx, of).await?;
    if there.saturating_add(added as u64) <= model::MOST {
        return Ok(());
    }
    Err(Problem::new(
        Code::Conflict,
        format!(
            "There are {there} secrets, and {} is the most there can be. Delete one that is not needed any more.",
            model::MOST
        ),
    ))
}
