//! Reading the log, page by page and as an export.
//!
//! What always holds: each read asks for its grant anew, so an export ends with the right to it, and with the
//! session or token that asked for it.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::stream::{self, Stream};
use sea_orm::{ColumnTrait, EntityTrait, Order, QueryFilter};
use subtle::ConstantTimeEq;

use super::filter::{Asked, Filter};
use super::model::{AuditEntry, EntryActor, organization, workspace};
use super::{Action, Lately, entry};
use crate::authz::accounts::account;
use crate::authz::permission::AuditRead;
use crate::authz::{self, Role};
use crate::context::{Ctx, Services};
use crate::kernel::{Code, OrganizationId, Page, Problem, UserId, WorkspaceId};
use crate::store::ledger::event;
use crate::store::{OrganizationGrant, StoreError, SystemPurpose};
use crate::vault::MacPurpose;

/// Entries on a page unless asked otherwise, and at most.
const LIMIT: (u64, u64) = (50, 200);

/// Entries of one read of an export.
const BATCH: u64 = 500;

/// How much of a cursor's MAC is kept, in bytes.
const CURSOR_MAC: usize = 16;

/// Whose log is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What happened in one workspace.
    Workspace(WorkspaceId),
    /// Everything of an organization, sign-ins too.
    Organization(OrganizationId),
}

/// Proof that the actor owns the organization.
///
/// # Errors
/// 404 for foreign and absent ones alike, 403 for a token without the scope.
pub async fn owner(ctx: &Ctx, organization: OrganizationId) -> Result<OrganizationGrant, Problem> {
    Ok(authz::authorize_organization(&ctx.services.store, &ctx.actor, organization).await?)
}

/// Entries that meet `filter` and `more`, in `order` of their numbers.
async fn read(
    ctx: &Ctx,
    scope: Scope,
    filter: &Filter,
    more: sea_orm::Condition,
    order: Order,
    limit: u64,
) -> Result<Vec<event::Model>, Problem> {
    let condition = filter.condition().add(more);
    let rows = match scope {
        Scope::Workspace(id) => {
            let grant = ctx.authorize::<AuditRead>(id).await?;
            let tx = ctx.services.store.scoped_read(&grant).await?;
            tx.find::<event::Entity>()
                .filter(condition)
                .order_by(event::Column::Seq, order)
                .limit(limit)
                .all()
                .await?
        }
        Scope::Organization(id) => {
            let grant = owner(ctx, id).await?;
            let tx = ctx.services.store.organization_read(&grant).await?;
            tx.find::<event::Entity>()
                .filter(condition)
                .order_by(event::Column::Seq, order)
                .limit(limit)
                .all()
                .await?
        }
    };
    Ok(rows)
}

/// A page of the log, newest first. That it was read is recorded once in a while.
///
/// # Errors
/// 404, 403; `unprocessable` for a field that cannot be understood; `bad_request` for a cursor of another question.
pub async fn list(
    ctx: &Ctx,
    lately: &Lately,
    scope: Scope,
    asked: &Asked,
) -> Result<Page<AuditEntry>, Problem> {
    // Who may not read is told so before anything about the question.
    allowed(ctx, scope).await?;
    let filter = Filter::parse(asked)?;
    let limit = asked.limit.unwrap_or(LIMIT.0);
    if !(1..=LIMIT.1).contains(&limit) {
        return Err(Problem::new(
            Code::Unprocessable,
            format!("limit: {limit} is not from 1 to {}.", LIMIT.1),
        ));
    }
    let mut more = sea_orm::Condition::all();
    if !asked.cursor.is_empty() {
        let before = open_cursor(&ctx.services, scope, &filter, &asked.cursor).await?;
        more = more.add(event::Column::Seq.lt(before));
    }
    note(ctx, lately, scope).await?;
    let mut rows = read(ctx, scope, &filter, more, Order::Desc, limit + 1).await?;
    let next = if rows.len() as u64 > limit {
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        match rows.last() {
            Some(last) => Some(cursor(&ctx.services, scope, &filter, last.seq).await?),
            None => None,
        }
    } else {
        None
    };
    Ok(Page {
        items: entries(&ctx.services, rows).await?,
        next,
    })
}

/// One entry by its number.
///
/// # Errors
/// 404, 403.
pub async fn find(
    ctx: &Ctx,
    lately: &Lately,
    scope: Scope,
    seq: i64,
) -> Result<AuditEntry, Problem> {
    note(ctx, lately, scope).await?;
    let only = sea_orm::Condition::all().add(event::Column::Seq.eq(seq));
    let rows = read(ctx, scope, &Filter::default(), only, Order::Asc, 1).await?;
    entries(&ctx.services, rows)
        .await?
        .pop()
        .ok_or_else(Problem::not_found)
}

/// Records that the log is read, before it is.
async fn note(ctx: &Ctx, lately: &Lately, scope: Scope) -> Result<(), Problem> {
    match scope {
        Scope::Workspace(id) => {
            let grant = ctx.authorize::<AuditRead>(id).await?;
            lately.note(ctx, &grant, Action::AuditRead, id).await
        }
        Scope::Organization(id) => {
            let grant = owner(ctx, id).await?;
            lately
                .note_organization(ctx, &grant, Action::AuditRead, id)
                .await
        }
    }
}

async fn allowed(ctx: &Ctx, scope: Scope) -> Result<(), Problem> {
    match scope {
        Scope::Workspace(id) => ctx.authorize::<AuditRead>(id).await.map(drop),
        Scope::Organization(id) => owner(ctx, id).await.map(drop),
    }
}

/// The whole log that meets the question as JSON Lines, oldest first. That it was exported is recorded first.
///
/// # Errors
/// As [`list`]; the stream ends with an error when the right to it ends.
pub async fn export(
    ctx: &Ctx,
    scope: Scope,
    asked: &Asked,
) -> Result<impl Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + use<>, Problem> {
    allowed(ctx, scope).await?;
    let filter = Filter::parse(asked)?;
    let question = serde_urlencoded::to_string(asked).unwrap_or_default();
    match scope {
        Scope::Workspace(id) => {
            let grant = ctx.authorize::<AuditRead>(id).await?;
            let tx = ctx.services.store.scoped(&grant).await?;
            tx.commit(entry(ctx, Action::AuditExport, id, question))
                .await?;
        }
        Scope::Organization(id) => {
            let tx = ctx
                .services
                .store
                .organization(&owner(ctx, id).await?)
                .await?;
            tx.commit(entry(ctx, Action::AuditExport, id, question))
                .await?;
        }
    }
    let ctx = ctx.clone();
    Ok(stream::try_unfold(Some(0), move |after: Option<i64>| {
        let (ctx, filter) = (ctx.clone(), filter.clone());
        async move {
            let Some(after) = after else { return Ok(None) };
            lines(&ctx, scope, &filter, after)
                .await
                .map(Some)
                .map_err(|problem| std::io::Error::other(problem.detail.into_owned()))
        }
    }))
}

/// The next lines of an export, and where it goes on.
async fn lines(
    ctx: &Ctx,
    scope: Scope,
    filter: &Filter,
    after: i64,
) -> Result<(Vec<u8>, Option<i64>), Problem> {
    ctx.require_valid().await?;
    let more = sea_orm::Condition::all().add(event::Column::Seq.gt(after));
    let rows = read(ctx, scope, filter, more, Order::Asc, BATCH).await?;
    let whole = rows.len() as u64 == BATCH;
    let last = rows.last().map(|row| row.seq).filter(|_| whole);
    let mut text = Vec::new();
    for entry in entries(&ctx.services, rows).await? {
        serde_json::to_writer(&mut text, &entry).map_err(Problem::internal)?;
        text.push(b'\n');
    }
    Ok((text, last))
}

async fn cursor_mac(
    services: &Services,
    scope: Scope,
    filter: &Filter,
    seq: i64,
) -> Result<[u8; 32], Problem> {
    let mut bytes = format!("audit {scope:?} {seq} ").into_bytes();
    bytes.extend_from_slice(&filter.bytes());
    Ok(services.vault.mac(MacPurpose::Cursor, &bytes).await?)
}

async fn cursor(
    services: &Services,
    scope: Scope,
    filter: &Filter,
    seq: i64,
) -> Result<String, Problem> {
    let mac = cursor_mac(services, scope, filter, seq).await?;
    let mut bytes = seq.to_be_bytes().to_vec();
    bytes.extend_from_slice(mac.get(..CURSOR_MAC).unwrap_or_default());
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

async fn open_cursor(
    services: &Services,
    scope: Scope,
    filter: &Filter,
    cursor: &str,
) -> Result<i64, Problem> {
    let wrong = || {
        Problem::new(
            Code::BadRequest,
            "The cursor is not one of this list, or belongs to another question. Begin without it.",
        )
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let (seq, mac) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
    let seq = i64::from_be_bytes(*seq);
    let right = cursor_mac(services, scope, filter, seq).await?;
    let right = right.get(..CURSOR_MAC).unwrap_or_default();
    if bool::from(right.ct_eq(mac)) {
        Ok(seq)
    } else {
        Err(wrong())
    }
}

/// Rows with the names of those who acted.
pub(super) async fn entries(
    services: &Services,
    rows: Vec<event::Model>,
) -> Result<Vec<AuditEntry>, StoreError> {
    let wanted: BTreeSet<UserId> = rows.iter().filter_map(|row| row.actor_id).collect();
    let names = accounts(services, wanted).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let actor = actor(&row, &names);
            shown(row, actor)
        })
        .collect())
}

/// Names and kinds of accounts.
async fn accounts(
    services: &Services,
    wanted: BTreeSet<UserId>,
) -> Result<HashMap<UserId, (String, String)>, StoreError> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let tx = services.store.system(SystemPurpose::AuditRead).await?;
    let rows = tx
        .all(account::Entity::find().filter(account::Column::Id.is_in(wanted)))
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, (row.name, row.kind)))
        .collect())
}

fn actor(row: &event::Model, names: &HashMap<UserId, (String, String)>) -> EntryActor {
    let (name, kind) = match row.actor_id {
        Some(id) => names
            .get(&id)
            .cloned()
            .unwrap_or_else(|| ("a deleted account".to_owned(), "unknown".to_owned())),
        None if row.credential == "host" => ("Command on the server".to_owned(), "host".to_owned()),
        None => ("OptiDev".to_owned(), "server".to_owned()),
    };
    EntryActor {
        id: row.actor_id,
        name,
        kind,
    }
}

/// A row as others see it.
pub fn shown(row: event::Model, actor: EntryActor) -> AuditEntry {
    let about = Action::ALL
        .iter()
        .find(|action| action.as_str() == row.action)
        .map_or_else(|| row.action.clone(), |action| action.about().to_owned());
    AuditEntry {
        id: row.id,
        seq: row.seq,
        at_ms: row.at_ms,
        at: jiff::Timestamp::from_millisecond(row.at_ms)
            .map(|at| format!("{at:.3}"))
            .unwrap_or_default(),
        actor,
        credential: row.credential,
        address: row.address,
        request_id: row.request_id,
        workspace: row.workspace_id,
        action: row.action,
        about,
        object: row.object,
        detail: row.detail,
        mac: hex(&row.mac),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a workspace, and the actor's role there.
///
/// # Errors
/// 404, 403.
pub async fn workspace_name(ctx: &Ctx, id: WorkspaceId) -> Result<(String, Role), Problem> {
    let grant = ctx.authorize::<AuditRead>(id).await?;
    let tx = ctx.services.store.system(SystemPurpose::AuditRead).await?;
    let row = tx
        .one(workspace::Entity::find_by_id(id))
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok((row.name, grant.role()))
}

/// The name of an organization, and its workspaces.
///
/// # Errors
/// 404, 403.
pub async fn organization_name(
    ctx: &Ctx,
    id: OrganizationId,
) -> Result<(String, HashMap<WorkspaceId, String>), Problem> {
    let grant = owner(ctx, id).await?;
    let tx = ctx.services.store.organization_read(&grant).await?;
    let workspaces = tx.find::<workspace::Entity>().all().await?;
    drop(tx);
    let tx = ctx.services.store.system(SystemPurpose::AuditRead).await?;
    let row = tx
        .one(organization::Entity::find_by_id(id))
        .await?
        .ok_or_else(Problem::not_found)?;
    let workspaces = workspaces.into_iter().map(|row| (row.id, row.name));
    Ok((row.name, workspaces.collect()))
}
