//! The ceiling of an organization and the additions of a workspace: who may see and set them.

use std::collections::BTreeSet;

use sea_orm::ActiveValue::Set;

use super::model::{OrganizationEgress, WorkspaceEgress, addition, ceiling};
use super::policy::{AllowList, Pattern};
use super::proxy::Egress;
use super::store::{self, Unknown};
use crate::authz::authorize_organization;
use crate::authz::permission::{EgressManage, WorkspaceRead};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::kernel::{Code, OrganizationId, Problem, WorkspaceId};
use crate::store::{Entries, StoreError};

/// Entries of one list, at most.
const MOST: usize = 100;

/// What the workspace's containers may reach, for its members.
///
/// # Errors
/// 404, 403.
pub async fn workspace(ctx: &Ctx, id: WorkspaceId) -> Result<WorkspaceEgress, Problem> {
    ctx.authorize::<WorkspaceRead>(id).await?;
    let (additions, ceiling) = store::rows(&ctx.services.store, id).await?;
    let config = &ctx.services.config.egress;
    Ok(WorkspaceEgress {
        additions_taken: config.workspace_additions,
        beyond_ceiling: beyond(&ceiling, &additions),
        installation: config.allow.clone(),
        additions,
        ceiling,
    })
}

/// The entries of `additions` that `ceiling` does not cover wholly.
fn beyond(ceiling: &[String], additions: &[String]) -> Vec<String> {
    if ceiling.is_empty() {
        return Vec::new();
    }
    let list = AllowList::parse_known(ceiling);
    let is_beyond =
        |entry: &&String| !Pattern::parse(entry).is_ok_and(|pattern| list.covers(&pattern));
    additions.iter().filter(is_beyond).cloned().collect()
}

/// Sets all that the workspace adds to the installation's list. Closes nothing that is open.
///
/// # Errors
/// 404, 403; 403 where the operator takes no additions, but for taking all away; `unprocessable` names the entry that is
/// not taken, and why.
pub async fn add(
    ctx: &Ctx,
    egress: &Egress,
    id: WorkspaceId,
    entries: &[String],
) -> Result<WorkspaceEgress, Problem> {
    let grant = ctx.authorize::<EgressManage>(id).await?;
    let hosts = checked("additions", entries)?;
    if !hosts.is_empty() && !ctx.services.config.egress.workspace_additions {
        return Err(Problem::new(
            Code::Forbidden,
            "This installation takes no additions of workspaces. Ask its operator to set [egress] workspace_additions = true, or \
             to add the host under [egress] allow.",
        ));
    }
    if let Some(address) = hosts.iter().find(|host| host.is_address()) {
        return Err(Problem::new(
            Code::Unprocessable,
            format!(
                "additions: {address} is an address, and a workspace adds names only. Use the host's name, or ask the operator of this \
                 installation to add it under [egress] allow."
            ),
        ));
    }
    let (_, ceiling) = store::rows(&ctx.services.store, id).await?;
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    if let Some(entry) = beyond(&ceiling, &hosts).first() {
        return Err(Problem::new(
            Code::Unprocessable,
            format!(
                "additions: {entry} is not within the ceiling of this organization, at each port that it means. The ceiling is {}. Ask an \
                 owner of the organization to add it there.",
                ceiling.join(", ")
            ),
        ));
    }
    let tx = ctx.services.store.scoped(&grant).await?;
    let before = tx.find::<addition::Entity>().for_update().one().await?;
    let row = addition::ActiveModel {
        workspace_id: Set(id),
        hosts: Set(text(&hosts)?),
        changed_by: Set(grant.user()),
        changed_at_ms: Set(ctx.now_ms()),
    };
    let old = match before {
        Some(old) => {
            tx.update(row).await?;
            kept(&old.hosts)
        }
        None => {
            tx.insert(row).await?;
            Vec::new()
        }
    };
    tx.commit(told(ctx, Action::EgressAdditions, id, &old, &hosts))
        .await?;
    egress.changed();
    workspace(ctx, id).await
}

/// What the organization's workspaces may reach at most, for its owners.
///
/// # Errors
/// 404, 403.
pub async fn organization(ctx: &Ctx, id: OrganizationId) -> Result<OrganizationEgress, Problem> {
    let grant = authorize_organization(&ctx.services.store, &ctx.actor, id).await?;
    let tx = ctx.services.store.organization_read(&grant).await?;
    let row = tx.find::<ceiling::Entity>().one().await?;
    Ok(OrganizationEgress {
        ceiling: row
            .map(|row| store::hosts(&row.hosts).ok_or(Unknown::Ceiling(row.hosts)))
            .transpose()?
            .unwrap_or_default(),
        installation: ctx.services.config.egress.allow.clone(),
    })
}

/// Sets the ceiling; without entries there is none. Closes nothing that is open.
///
/// # Errors
/// 404, 403; `unprocessable` names the entry that is not taken, and why.
pub async fn limit(
    ctx: &Ctx,
    egress: &Egress,
    id: OrganizationId,
    entries: &[String],
) -> Result<OrganizationEgress, Problem> {
    let grant = authorize_organization(&ctx.services.store, &ctx.actor, id).await?;
    let hosts: Vec<String> = checked("ceiling", entries)?
        .iter()
        .map(ToString::to_string)
        .collect();
    let tx = ctx.services.store.organization(&grant).await?;
    let before = tx.find::<ceiling::Entity>().for_update().one().await?;
    let row = ceiling::ActiveModel {
        organization_id: Set(id),
        hosts: Set(text(&hosts)?),
        changed_by: Set(grant.user()),
        changed_at_ms: Set(ctx.now_ms()),
    };
    let old = match before {
        Some(old) => {
            tx.update(row).await?;
            kept(&old.hosts)
        }
        None => {
            tx.insert(row).await?;
            Vec::new()
        }
    };
    tx.commit(told(ctx, Action::EgressCeiling, id, &old, &hosts))
        .await?;
    egress.changed();
    organization(ctx, id).await
}

/// What was there before, for the audit log.
fn kept(hosts: &str) -> Vec<String> {
    store::hosts(hosts).unwrap_or_else(|| vec!["unreadable".to_owned()])
}

/// The entries in the form in which they are kept, each once.
fn checked(field: &str, entries: &[String]) -> Result<Vec<Pattern>, Problem> {
    let refuse = |text: String| Problem::new(Code::Unprocessable, format!("{field}: {text}"));
    if entries.len() > MOST {
        return Err(refuse(format!(
            "at most {MOST} entries; these are {}.",
            entries.len()
        )));
    }
    let mut seen = BTreeSet::new();
    let mut patterns = Vec::new();
    for entry in entries {
        let pattern = Pattern::parse(entry.trim()).map_err(|error| refuse(format!("{error}.")))?;
        if seen.insert(pattern.to_string()) {
            patterns.push(pattern);
        }
    }
    Ok(patterns)
}

fn text(hosts: &[String]) -> Result<String, Problem> {
    serde_json::to_string(hosts).map_err(Problem::internal)
}

/// What the log says: the list as it was and as it is.
fn told(
    ctx: &Ctx,
    action: Action,
    object: impl ToString,
    before: &[String],
    after: &[String],
) -> Entries {
    let shown = |list: &[String]| match list {
        [] => vec!["nothing".to_owned()],
        some => some.to_vec(),
    };
    let mut words = vec!["before:".to_owned()];
    words.extend(shown(before));
    words.push("after:".to_owned());
    words.extend(shown(after));
    let object = object.to_string();
    audit::in_parts("", &words, |detail| {
        audit::entry(ctx, action, &object, detail)
    })
}

impl From<Unknown> for Problem {
    fn from(error: Unknown) -> Self {
        match error {
            Unknown::Store(StoreError::Absent) => Problem::not_found(),
            Unknown::Store(error) => error.into(),
            error @ Unknown::Ceiling(_) => Problem::internal(error),
        }
    }
}
