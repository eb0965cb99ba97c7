//! Carries entries to sinks: in order, each at least once, each sink at its own pace.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::model::{Target, sink};
use super::ops::{read_target, secret};
use super::{syslog, webhook};
use crate::clients::named::Named;
use crate::context::{Ctx, Services};
use crate::features::audit::model::AuditEntry;
use crate::features::audit::{Action, entry, ops};
use crate::kernel::{AuditSinkId, OrganizationId};
use crate::shared::Held;
use crate::store::ledger::{event, head};
use crate::store::{StoreError, SystemPurpose, Unaudited};

/// Entries of one batch.
const BATCH: u64 = 100;

/// Another process may have added entries, or changed a sink.
const EVERY: Duration = Duration::from_secs(1);

/// Another replica carries on when this one has not said for so long that it does.
const LEASE: Duration = Duration::from_secs(10);

/// The pause after the first failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A sink that failed.
struct Failing {
    times: u32,
    until: Instant,
}

/// Starts carrying until the server stops.
pub fn start(services: &Services) {
    let services = services.clone();
    let tasks = services.tasks.clone();
    tasks.spawn(async move { run(services).await });
}

/// Whether this replica carries: one does, and another one soon after it has gone. While that cannot be told nobody
/// begins anything: the log waits, and nothing is lost.
async fn leads(services: &Services, lead: &mut Option<Held>) -> bool {
    let led = match &lead {
        Some(held) => held.renew().await.map(|still| still.then_some(())),
        None => match services.shared.locks.take("audit sinks", LEASE).await {
            Ok(held) => {
                *lead = held;
                Ok(lead.as_ref().map(|_| ()))
            }
            Err(error) => Err(error),
        },
    };
    match led {
        Ok(Some(())) => true,
        Ok(None) => {
            *lead = None;
            false
        }
        Err(error) => {
            tracing::debug!(%error, "nobody can tell which replica carries the audit log");
            false
        }
    }
}

/// Notices and repairs: what is due is looked up in the database at each round.
async fn run(services: Services) {
    let mut lead = None;
    let named = Named::new(&services.config.audit.also_allow);
    let mut failing: HashMap<AuditSinkId, Failing> = HashMap::new();
    let mut busy: Vec<AuditSinkId> = Vec::new();
    let mut running = FuturesUnordered::new();
    loop {
        let due = if leads(&services, &mut lead).await {
            due(&services).await
        } else {
            Ok(Vec::new())
        };
        match due {
            Ok(found) => {
                for (organization, id) in found {
                    let waits = failing
                        .get(&id)
                        .is_some_and(|failing| failing.until > Instant::now());
                    if waits || busy.contains(&id) {
                        continue;
                    }
                    busy.push(id);
                    let task = begin(&services, &named, organization, id);
                    running.push(async move { (id, task.await) });
                }
            }
            Err(error) => tracing::warn!(%error, "the sinks of the audit log cannot be read"),
        }
        tokio::select! {
            Some((id, result)) = running.next(), if !running.is_empty() => {
                busy.retain(|one| *one != id);
                if let Ok(true) = result {
                    failing.remove(&id);
                } else {
                    let times = failing.get(&id).map_or(0, |failing| failing.times) + 1;
                    let until = Instant::now() + pause(&services, times);
                    failing.insert(id, Failing { times, until });
                }
            }
            () = services.store.ledger().grown().notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            () = services.shutdown.cancelled() => return,
        }
    }
}

/// Carries to one sink in a task of its own; says whether that went well. Not in the task that looks for what is due: while
/// that one waits for the database, others could not go on that hold it, and everybody who writes would wait for them.
fn begin(
    services: &Services,
    named: &Named,
    organization: OrganizationId,
    id: AuditSinkId,
) -> JoinHandle<bool> {
    let (tasks, stop) = (services.tasks.clone(), services.shutdown.clone());
    let (services, named) = (services.clone(), named.clone());
    let carrying = async move {
        let Err(reason) = carry(&services, &named, organization, id).await else {
            return true;
        };
        tracing::warn!(%organization, sink = %id, reason = reason.as_str(), "the audit log cannot be carried on");
        if let Err(error) = failed(&services, organization, id, &reason).await {
            tracing::warn!(%error, "that a sink failed cannot be noted");
        }
        false
    };
    tasks.spawn(async move { stop.run_until_cancelled(carrying).await.unwrap_or(true) })
}

/// Twice as long each time, give or take a quarter, so that many sinks do not come back in step.
fn pause(services: &Services, times: u32) -> Duration {
    let whole = PAUSE
        .0
        .saturating_mul(1 << (times - 1).min(10))
        .min(PAUSE.1);
    let [random] = services.rng.bytes::<1>();
    whole.mul_f64(0.75 + f64::from(random) / 512.0)
}

/// Sinks whose log has grown beyond them.
async fn due(services: &Services) -> Result<Vec<(OrganizationId, AuditSinkId)>, StoreError> {
    let tx = services.store.system(SystemPurpose::AuditRead).await?;
    let sinks = tx
        .all(sink::Entity::find().filter(sink::Column::Enabled.eq(true)))
        .await?;
    if sinks.is_empty() {
        return Ok(Vec::new());
    }
    let organizations = sinks.iter().map(|row| row.organization_id);
    let heads: HashMap<OrganizationId, i64> = tx
        .all(head::Entity::find().filter(head::Column::OrganizationId.is_in(organizations)))
        .await?
        .into_iter()
        .map(|row| (row.organization_id, row.seq))
        .collect();
    let late = |row: &sink::Model| {
        heads
            .get(&row.organization_id)
            .is_some_and(|last| *last >= row.next_seq)
    };
    Ok(sinks
        .into_iter()
        .filter(late)
        .map(|row| (row.organization_id, row.id))
        .collect())
}

/// Carries batches to one sink until it is up to date.
async fn carry(
    services: &Services,
    named: &Named,
    organization: OrganizationId,
    id: AuditSinkId,
) -> Result<(), String> {
    let store = |error: StoreError| format!("the database failed: {error}");
    while !services.shutdown.is_cancelled() {
        let Some((row, entries)) = next(services, organization, id).await.map_err(store)? else {
            return Ok(());
        };
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        if first.seq != row.next_seq {
            return Err(format!(
                "entry {} is missing from the log; the operator must run optidev verify audit",
                row.next_seq
            ));
        }
        let end = last.seq;
        // Before the first try, so that a repetition has the same entries and the same id, also after a kill.
        if row.batch_end != end {
            let values = sink::ActiveModel {
                batch_end: Set(end),
                ..Default::default()
            };
            note(services, &row, values).await.map_err(store)?;
        }
        let batch_id = format!("{id}_{}_{end}", row.next_seq);
        send(services, named, &row, &batch_id, "audit.entries", &entries).await?;
        let values = sink::ActiveModel {
            next_seq: Set(end + 1),
            last_error: Set(None),
            last_error_ms: Set(None),
            last_delivered_ms: Set(Some(services.clock.now_ms())),
            ..Default::default()
        };
        note(services, &row, values).await.map_err(store)?;
    }
    Ok(())
}

/// The sink as it is now, and its next batch; none when it is off, gone or up to date.
async fn next(
    services: &Services,
    organization: OrganizationId,
    id: AuditSinkId,
) -> Result<Option<(sink::Model, Vec<AuditEntry>)>, StoreError> {
    let tx = services.store.system(SystemPurpose::AuditRead).await?;
    let found = tx.one(sink::Entity::find_by_id((organization, id))).await?;
    let Some(row) = found.filter(|row| row.enabled) else {
        return Ok(None);
    };
    let mut query = event::Entity::find()
        .filter(event::Column::OrganizationId.eq(organization))
        .filter(event::Column::Seq.gte(row.next_seq))
        .order_by_asc(event::Column::Seq)
        .limit(BATCH);
    if row.batch_end >= row.next_seq {
        query = query.filter(event::Column::Seq.lte(row.batch_end));
    }
    let rows = tx.all(query).await?;
    drop(tx);
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some((row, ops::entries(services, rows).await?)))
}

async fn send(
    services: &Services,
    named: &Named,
    row: &sink::Model,
    batch_id: &str,
    kind: &'static str,
    entries: &[AuditEntry],
) -> Result<(), String> {
    match read_target(row).map_err(|problem| problem.detail.into_owned())? {
        Target::Syslog {
            host,
            port,
            tls,
            ca_pem,
            ..
        } => {
            let own = url::Url::parse(&services.public_url)
                .ok()
                .and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_default();
            let organization = row.organization_id.to_string();
            let messages: Vec<String> = entries
                .iter()
                .map(|entry| syslog::message(entry, &organization, &own))
                .collect();
            let tls = tls.then_some(ca_pem.as_deref());
            syslog::send(named, &host, port, tls, &messages).await
        }
        Target::Webhook { url } => {
            let secret = secret(services, row).await?;
            let batch = webhook::Batch {
                kind,
                organization: row.organization_id.to_string(),
                entries,
            };
            webhook::send(
                named,
                &url,
                &secret,
                batch_id,
                services.clock.now_ms(),
                &batch,
            )
            .await
        }
    }
}

/// Sends an entry that is in no log.
///
/// # Errors
/// A sentence for the owner.
pub async fn send_test(ctx: &Ctx, named: &Named, row: &sink::Model) -> Result<(), String> {
    let said = entry(
        ctx,
        Action::AuditSinkUpdate,
        row.id,
        "a test, which is in no log",
    );
    let model = event::Model {
        organization_id: row.organization_id,
        seq: 0,
        id: said.id,
        workspace_id: None,
        at_ms: said.at_ms,
        actor_id: said.actor,
        credential: said.credential,
        address: said.address,
        request_id: said.request_id,
        action: said.action.to_owned(),
        object: said.object,
        detail: said.detail,
        mac: Vec::new(),
    };
    let entries = ops::entries(&ctx.services, vec![model])
        .await
        .map_err(|error| error.to_string())?;
    let id = format!("{}_test_{}", row.id, ctx.request_id);
    send(&ctx.services, named, row, &id, "audit.test", &entries).await
}

/// Changes the row unless it has moved on.
async fn note(
    services: &Services,
    row: &sink::Model,
    values: sink::ActiveModel,
) -> Result<(), StoreError> {
    let tx = services.store.system(SystemPurpose::Housekeeping).await?;
    let same = Condition::all()
        .add(sink::Column::OrganizationId.eq(row.organization_id))
        .add(sink::Column::Id.eq(row.id))
        .add(sink::Column::NextSeq.eq(row.next_seq));
    tx.update_where::<sink::Entity>(same, values).await?;
    tx.commit_unaudited(Unaudited::Housekeeping).await
}

async fn failed(
    services: &Services,
    organization: OrganizationId,
    id: AuditSinkId,
    reason: &str,
) -> Result<(), StoreError> {
    let tx = services.store.system(SystemPurpose::Housekeeping).await?;
    let same = Condition::all()
        .add(sink::Column::OrganizationId.eq(organization))
        .add(sink::Column::Id.eq(id));
    let values = sink::ActiveModel {
        last_error: Set(Some(reason.chars().take(500).collect())),
        last_error_ms: Set(Some(services.clock.now_ms())),
        ..Default::default()
    };
    tx.update_where::<sink::Entity>(same, values).await?;
    tx.commit_unaudited(Unaudited::Housekeeping).await
}
