//! What owners of an organization can do with its sinks.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sea_orm::ActiveValue::{Set, Unchanged};
use sea_orm::{ColumnTrait, Order};
use url::Url;

use super::carry;
use super::model::{ChangeSink, MadeSink, NewSink, Sink, Target, TestResult, sink};
use super::syslog;
use crate::clients::named::Named;
use crate::context::{Ctx, Services};
use crate::features::audit::{Action, entry, ops};
use crate::kernel::{AuditSinkId, Code, OrganizationId, Page, Problem, SecretBytes};
use crate::store::OrganizationRead;
use crate::store::ledger::head;
use crate::vault::{Sealed, SystemPurpose};

/// Sinks of one organization, at most.
const MOST: u64 = 10;

/// Longer than a test takes: connection, handshake, writing and closing have limits of their own.
const TEST: Duration = Duration::from_secs(60);

/// All sinks, oldest first.
///
/// # Errors
/// 404, 403.
pub async fn list(ctx: &Ctx, organization: OrganizationId) -> Result<Page<Sink>, Problem> {
    let grant = ops::owner(ctx, organization).await?;
    let tx = ctx.services.store.organization_read(&grant).await?;
    let last = last_seq(&tx).await?;
    let rows = tx
        .find::<sink::Entity>()
        .order_by(sink::Column::Id, Order::Asc)
        .all()
        .await?;
    let items: Result<Vec<Sink>, Problem> = rows.into_iter().map(|row| shown(row, last)).collect();
    Ok(Page::whole(items?))
}

/// One sink.
///
/// # Errors
/// 404, 403.
pub async fn get(
    ctx: &Ctx,
    organization: OrganizationId,
    id: AuditSinkId,
) -> Result<Sink, Problem> {
    let grant = ops::owner(ctx, organization).await?;
    let tx = ctx.services.store.organization_read(&grant).await?;
    let last = last_seq(&tx).await?;
    shown(find(&tx, id).await?, last)
}

async fn find(tx: &OrganizationRead, id: AuditSinkId) -> Result<sink::Model, Problem> {
    tx.find::<sink::Entity>()
        .filter(sink::Column::Id.eq(id))
        .one()
        .await?
        .ok_or_else(Problem::not_found)
}

async fn last_seq(tx: &OrganizationRead) -> Result<i64, Problem> {
    let head = tx.find::<head::Entity>().one().await?;
    Ok(head.map_or(0, |head| head.seq))
}

/// Makes a sink. A webhook's secret is answered this once.
///
/// # Errors
/// 404, 403; `unprocessable` naming the field; `conflict` when there are enough.
pub async fn create(
    ctx: &Ctx,
    organization: OrganizationId,
    new: NewSink,
) -> Result<MadeSink, Problem> {
    let grant = ops::owner(ctx, organization).await?;
    let name = named(&new.name)?;
    let target = checked(&ctx.services, new.target)?;
    let id = AuditSinkId::new(&ctx.services.clock, &ctx.services.rng);
    let (secret, sealed) = match target {
        Target::Webhook { .. } => {
            let key = ctx.services.rng.bytes::<32>();
            let sealed = ctx
                .services
                .vault
                .seal_system(
                    SystemPurpose::Integration,
                    &secret_name(id),
                    SecretBytes::from(key.as_slice()),
                )
                .await?;
            (
                Some(format!("whsec_{}", BASE64_STANDARD.encode(key))),
                Some(sealed),
            )
        }
        Target::Syslog { .. } => (None, None),
    };
    let tx = ctx.services.store.organization(&grant).await?;
    if tx.find::<sink::Entity>().count().await? >= MOST {
        return Err(Problem::new(
            Code::Conflict,
            format!(
                "The organization has {MOST} sinks, which is the most it can have. Delete one."
            ),
        ));
    }
    let sealed = match sealed {
        Some(sealed) => {
            // A rotation of the master may have come between: what it would not find must not be written.
            tx.hold_root().await?;
            let (vault, name) = (&ctx.services.vault, secret_name(id));
            let sealed = vault.rewrap_system(SystemPurpose::Integration, &name, &sealed);
            Some(sealed.await?.0)
        }
        None => None,
    };
    let last = last_seq(&tx).await?;
    let row = tx
        .insert(sink::ActiveModel {
            organization_id: Set(organization),
            id: Set(id),
            name: Set(name),
            target: Set(stored(&target)?),
            sealed_secret: Set(sealed),
            enabled: Set(true),
            next_seq: Set(if new.from_beginning { 1 } else { last + 1 }),
            batch_end: Set(0),
            last_error: Set(None),
            last_error_ms: Set(None),
            last_delivered_ms: Set(None),
            created_by: Set(ctx.actor.user()),
            created_at_ms: Set(ctx.now_ms()),
        })
        .await?;
    let detail = format!("{}, {}", row.name, target.place());
    tx.commit(entry(ctx, Action::AuditSinkCreate, id, detail))
        .await?;
    Ok(MadeSink {
        sink: shown(row, last)?,
        secret,
    })
}

/// Changes a sink.
///
/// # Errors
/// As [`create`].
pub async fn change(
    ctx: &Ctx,
    organization: OrganizationId,
    id: AuditSinkId,
    change: ChangeSink,
) -> Result<Sink, Problem> {
    let grant = ops::owner(ctx, organization).await?;
    let tx = ctx.services.store.organization(&grant).await?;
    let row = find(&tx, id).await?;
    let mut model = sink::ActiveModel {
        organization_id: Unchanged(organization),
        id: Unchanged(id),
        enabled: Set(change.enabled.unwrap_or(row.enabled)),
        ..Default::default()
    };
    if let Some(name) = &change.name {
        model.name = Set(named(name)?);
    }
    if let Some(target) = change.target {
        let target = checked(&ctx.services, target)?;
        if target.kind() != read_target(&row)?.kind() {
            return Err(wrong(
                "target",
                "A sink stays of its kind. Make another one and delete this.",
            ));
        }
        model.target = Set(stored(&target)?);
    }
    let last = last_seq(&tx).await?;
    let row = tx.update(model).await?;
    let detail = format!(
        "{}, {}, {}",
        row.name,
        read_target(&row)?.place(),
        if row.enabled { "on" } else { "off" }
    );
    tx.commit(entry(ctx, Action::AuditSinkUpdate, id, detail))
        .await?;
    shown(row, last)
}

/// Deletes a sink. What was not delivered stays in the log.
///
/// # Errors
/// 404, 403.
pub async fn delete(
    ctx: &Ctx,
    organization: OrganizationId,
    id: AuditSinkId,
) -> Result<(), Problem> {
    let grant = ops::owner(ctx, organization).await?;
    let tx = ctx.services.store.organization(&grant).await?;
    let row = find(&tx, id).await?;
    tx.delete_many::<sink::Entity>()
        .filter(sink::Column::Id.eq(id))
        .exec()
        .await?;
    tx.commit(entry(ctx, Action::AuditSinkDelete, id, row.name))
        .await?;
    Ok(())
}

/// Sends a test entry, which is in no log, and says what came of it. One at a time for each sink, so that owners cannot
/// have the server hold many connections to one receiver.
///
/// # Errors
/// 404, 403; `conflict` while another test of the sink runs.
pub async fn test(
    ctx: &Ctx,
    organization: OrganizationId,
    id: AuditSinkId,
) -> Result<TestResult, Problem> {
    let grant = ops::owner(ctx, organization).await?;
    let row = {
        let tx = ctx.services.store.organization_read(&grant).await?;
        find(&tx, id).await?
    };
    let named = Named::new(&ctx.services.config.audit.also_allow);
    let locks = &ctx.services.shared.locks;
    let Some(held) = locks.take(&format!("audit sink test {id}"), TEST).await? else {
        return Err(Problem::new(
            Code::Conflict,
            "A test of this sink runs already. Wait for its end, a minute at most.",
        ));
    };
    let error = carry::send_test(ctx, &named, &row).await.err();
    held.release().await;
    Ok(TestResult {
        delivered: error.is_none(),
        error,
    })
}

/// The key of a webhook's signatures.
///
/// # Errors
/// A sentence.
pub async fn secret(services: &Services, row: &sink::Model) -> Result<SecretBytes, String> {
    let sealed = row
        .sealed_secret
        .clone()
        .ok_or("the sink has no signing secret; make it anew")?;
    services
        .vault
        .open(
            SystemPurpose::Integration,
            &secret_name(row.id),
            &Sealed(sealed),
        )
        .await
        .map_err(|error| error.to_string())
}

pub(super) fn secret_name(id: AuditSinkId) -> String {
    format!("audit sink {id}")
}

/// Where the row's entries go.
pub fn read_target(row: &sink::Model) -> Result<Target, Problem> {
    serde_json::from_str(&row.target).map_err(Problem::internal)
}

fn stored(target: &Target) -> Result<String, Problem> {
    serde_json::to_string(target).map_err(Problem::internal)
}

fn shown(row: sink::Model, last: i64) -> Result<Sink, Problem> {
    Ok(Sink {
        target: read_target(&row)?,
        id: row.id,
        name: row.name,
        enabled: row.enabled,
        next_seq: row.next_seq,
        waiting: (last + 1 - row.next_seq).max(0),
        last_error: row.last_error,
        last_error_ms: row.last_error_ms,
        last_delivered_ms: row.last_delivered_ms,
        created_by: row.created_by,
        created_at_ms: row.created_at_ms,
    })
}

fn named(name: &str) -> Result<String, Problem> {
    // It stands in the log.
    if name.chars().any(char::is_control) {
        return Err(wrong("name", "Leave out control characters."));
    }
    let name = name.trim();
    if (1..=100).contains(&name.chars().count()) {
        return Ok(name.to_owned());
    }
    Err(wrong("name", "1 to 100 characters are needed."))
}

/// Refuses what can be seen to be wrong; names are resolved and held against the ranges at each connection. A webhook's
/// address is answered as it was understood, so that what is kept, shown and logged is what was checked.
fn checked(services: &Services, target: Target) -> Result<Target, Problem> {
    match &target {
        Target::Webhook { url } => {
            let url = Url::parse(url).map_err(|error| {
                wrong("url", &format!("{url:?} is no address ({error}). Write it like https://siem.example.com/optidev."))
            })?;
            Named::new(&services.config.audit.also_allow)
                .check(&url)
                .map_err(|error| wrong("url", &error.to_string()))?;
            Ok(Target::Webhook { url: url.into() })
        }
        Target::Syslog {
            host,
            port,
            tls,
            ca_pem,
            accept_unencrypted,
        } => {
            let address: Option<std::net::IpAddr> = host.parse().ok();
            if *port == 0
                || host.is_empty()
                || rustls::pki_types::ServerName::try_from(host.as_str()).is_err()
            {
                return Err(wrong(
                    "host",
                    "Name the receiver by a host name or an address, and its port.",
                ));
            }
            if let Some(address) = address
                && let Some(range) =
                    crate::clients::ranges::special(address, &services.config.audit.also_allow)
            {
                return Err(wrong(
                    "host",
                    &format!(
                        "{host} is a {range} address, which is not reached. Name a public one, or have the operator allow it in [audit] also_allow."
                    ),
                ));
            }
            let loopback = address.is_some_and(|address| address.is_loopback());
            if !tls && !loopback && !accept_unencrypted {
                return Err(wrong(
                    "tls",
                    "Without TLS everybody on the way can read and change entries. Turn it on, or say accept_unencrypted.",
                ));
            }
            if let Some(pem) = ca_pem {
                syslog::roots(Some(pem)).map_err(|error| wrong("ca_pem", &error))?;
            }
            Ok(target)
        }
    }
}

fn wrong(field: &str, what: &str) -> Problem {
    Problem::new(Code::Unprocessable, format!("{field}: {what}"))
}
