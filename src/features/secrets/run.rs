//! Values on their way to a program of a person's own, outside of any container: what they may see or reveal, sealed by the
//! vault to a key of that program. Sensitive values do not take part, and the vault sees to that by itself.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::model::{DeliveredAs, Scope, Tier, binding, secret, words};
use super::ops::{changed_meanwhile, lead, require_there, told};
use super::store;
use crate::authz::permission::{SecretsRead, SecretsRun};
use crate::authz::{Credential, PermissionId};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{Code, Problem, ProjectId, WorkspaceId};
use crate::store::{Grant, Permission, ScopedRead};
use crate::vault::{DeliverItem, Delivery, Sealed};

/// What a program is to get.
pub struct Wanted {
    /// The program's public key (X25519), in base64.
    pub public_key: String,
    /// A project's secrets, too, in place of the workspace's.
    pub project: Option<ProjectId>,
    /// The caller's own, too, in place of the others.
    pub own: bool,
    /// Masked secrets, too.
    pub masked: bool,
}

/// What it gets.
pub struct Taken {
    /// Name to value, as JSON, for the program alone.
    pub delivery: Delivery,
    /// HPKE's `info`.
    pub info: String,
    /// Names that it does not get: Sensitive ones, masked ones that the caller may not reveal, files, and what refers to those.
    pub left_out: Vec<String>,
}

/// Seals what the caller may see, and with `masked` what they may reveal, to the program's key.
///
/// # Errors
/// 404; `reauthentication_required` for a person who signed in too long ago; `forbidden` for a token without the scope
/// `secrets:reveal`; `rate_limited` when the vault gives out no more of them for now.
pub async fn run(ctx: &Ctx, workspace: WorkspaceId, wanted: Wanted) -> Result<Taken, Problem> {
    if !wanted.masked {
        let grant = ctx.authorize::<SecretsRead>(workspace).await?;
        return run_granted(ctx, &grant, wanted).await;
    }
    let grant = ctx.authorize::<SecretsRun>(workspace).await?;
    // A token proves nobody's presence and is never fresh. It has a scope of its own instead, which the grant has asked for and
    // which no other scope includes.
    if matches!(ctx.actor.credential(), Credential::Session(_)) {
        ctx.require_fresh()?;
    }
    run_granted(ctx, &grant, wanted).await
}

async fn run_granted<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    wanted: Wanted,
) -> Result<Taken, Problem> {
    let recipient = BASE64_STANDARD.decode(&wanted.public_key).ok();
    let recipient = recipient.and_then(|bytes| bytes.try_into().ok());
    let recipient: [u8; 32] = recipient.ok_or_else(|| {
        Problem::new(
            Code::Unprocessable,
            "public_key: It is not 32 bytes in base64. Make a new X25519 key pair and send its public half.",
        )
    })?;
    let tx = ctx.services.store.scoped_read(grant).await?;
    let (rows, left_out) = chosen(&tx, grant, &wanted).await?;
    drop(tx);
    // Before the values leave the vault: what was taken can only be told too often, never too seldom.
    tell(ctx, grant, &rows).await?;
    // Key and values of one moment, and of the last: a rotation changes both.
    let tx = ctx.services.store.scoped_snapshot(grant).await?;
    let key = members::key_in(&tx).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let stored = store::value(&tx, row.id, row.version)
            .await?
            // One that was moved to a stricter tier since is not for this any more.
            .filter(|stored| stored.tier == row.tier)
            .ok_or_else(|| changed_meanwhile(&row.name))?;
        let tier = Tier::stored(&row.tier);
        items.push(DeliverItem {
            env: row.name.clone(),
            binding: binding(grant.workspace(), row.id, row.version, &row.name, tier),
            sealed: Sealed(stored.sealed),
            expand: row.expand,
        });
    }
    drop(tx);
    let info = format!("optidev run {}", grant.workspace());
    let vault = &ctx.services.vault;
    let delivery = vault.hand_over(&key, items, recipient, &info).await?;
    Ok(Taken {
        delivery,
        info,
        left_out,
    })
}

/// The rows that the program gets, and the names of those that it does not.
async fn chosen<P: Permission>(
    tx: &ScopedRead,
    grant: &Grant<P>,
    wanted: &Wanted,
) -> Result<(Vec<secret::Model>, Vec<String>), Problem> {
    let mut scopes = vec![Scope::Workspace];
    scopes.extend(wanted.project.map(Scope::Project));
    scopes.extend(wanted.own.then_some(Scope::Own));
    for scope in &scopes {
        require_there(store::there(tx, *scope).await?)?;
    }
    let scopes: Vec<String> = scopes
        .into_iter()
        .map(|scope| scope.stored(grant.user()))
        .collect();
    let all = store::layered(tx, &scopes).await?;
    let reveals = grant.role().allows(PermissionId::SecretsReveal);
    let gets = |row: &secret::Model| match Tier::stored(&row.tier) {
        // Whoever chose a file alone does not want it in an environment.
        _ if DeliveredAs::stored(&row.delivered_as) == DeliveredAs::File => false,
        Tier::Visible => true,
        Tier::Masked => wanted.masked && (reveals || Scope::of(row) == Scope::Own),
        Tier::Sensitive => false,
    };
    let (mut taken, left): (Vec<_>, Vec<_>) = all.into_values().partition(gets);
    let mut left: BTreeSet<String> = left.into_iter().map(|row| row.name).collect();
    // What refers to a value that is left out cannot be put together, nor what refers to that.
    loop {
        let refers = |row: &secret::Model| {
            row.expand && words(&row.refers_to).iter().any(|to| left.contains(to))
        };
        let (more, rest): (Vec<_>, Vec<_>) = taken.into_iter().partition(refers);
        taken = rest;
        if more.is_empty() {
            return Ok((taken, left.into_iter().collect()));
        }
        left.extend(more.into_iter().map(|row| row.name));
    }
}

/// Writes who takes what into the audit log: each masked value as revealed, and all names together.
async fn tell<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    rows: &[secret::Model],
) -> Result<(), Problem> {
    let (own, shared): (Vec<_>, Vec<_>) = rows.iter().partition(|row| Scope::of(row) == Scope::Own);
    let names: Vec<String> = shared.iter().map(|row| row.name.clone()).collect();
    let lead = lead("", names.len(), own.len());
    let mut entries = audit::in_parts(&lead, &names, |detail| {
        audit::entry(ctx, Action::SecretRun, grant.workspace(), detail)
    });
    for row in rows {
        if Tier::stored(&row.tier) == Tier::Masked {
            let detail = format!("version {}, for a program", row.version);
            entries = entries.and(told(ctx, Action::SecretReveal, row, &detail));
        }
    }
    let tx = ctx.services.store.scoped(grant).await?;
    Ok(tx.commit(entries).await?)
}
