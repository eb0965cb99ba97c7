//! Checks every chain: each entry's MAC, its place, the head, and what the vault remembers.
//!
//! What always holds: it reads and changes nothing, works beside a running server, and needs memory for one batch of
//! entries and one head for each organization, however long the log is.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::Serialize;

use super::model::organization;
use crate::context::Services;
use crate::kernel::OrganizationId;
use crate::store::ledger::{self, GENESIS, event, head};
use crate::store::{StoreError, SystemPurpose};
use crate::vault::{Anchor, MacPurpose, VaultError};

/// Entries of one read.
const BATCH: u64 = 1_000;

/// MACs that the vault is asked for at the same time.
const AT_ONCE: usize = 128;

/// Findings that are told in words; all are counted.
const TOLD: usize = 1_000;

/// What is wrong at one place.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Whose chain.
    pub organization: OrganizationId,
    /// Which entry, when it is about one.
    pub seq: Option<i64>,
    /// A sentence.
    pub what: String,
}

/// What was checked and found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Chains that were walked.
    pub chains: u64,
    /// Entries whose MAC was checked.
    pub entries: u64,
    /// How many things are wrong.
    pub wrong: u64,
    /// The first thousand of them.
    pub findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, organization: OrganizationId, seq: Option<i64>, what: impl Into<String>) {
        self.wrong += 1;
        if self.findings.len() < TOLD {
            self.findings.push(Finding {
                organization,
                seq,
                what: what.into(),
            });
        }
    }
}

/// Why it could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The database did not answer, or a row cannot be read at all.
    #[error("the audit log cannot be read from the database")]
    Store(#[from] StoreError),
    /// The vault did not answer.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Where a walk stands in one chain.
struct Walk {
    organization: OrganizationId,
    seq: i64,
    mac: Vec<u8>,
    /// What the last MAC should have been, when that is another one: the next entry may stand on either.
    right: Option<Vec<u8>>,
}

/// What is expected of a chain from before the walk.
#[derive(Default)]
struct Expected {
    head: Option<(i64, Vec<u8>)>,
    anchor: Option<Anchor>,
}

/// Checks everything.
///
/// # Errors
/// [`VerifyError`] when it cannot: then nothing is known.
pub async fn verify(services: &Services) -> Result<Report, VerifyError> {
    // The anchors first and the heads second: what grows meanwhile is then longer than both, never shorter.
    let anchors = services.vault.anchors().await?;
    let mut expected: BTreeMap<OrganizationId, Expected> = BTreeMap::new();
    for anchor in anchors {
        let organization = OrganizationId::from_uuid(uuid::Uuid::from_bytes(anchor.chain));
        expected.entry(organization).or_default().anchor = Some(anchor);
    }
    for row in heads(services).await? {
        let one = expected.entry(row.organization_id).or_default();
        one.head = Some((row.seq, row.mac));
    }
    let mut report = Report::default();
    let mut reached: BTreeMap<OrganizationId, (i64, Vec<u8>)> = BTreeMap::new();
    let mut walk: Option<Walk> = None;
    loop {
        let batch = batch(services, walk.as_ref()).await?;
        if batch.is_empty() {
            break;
        }
        walk =
            Some(check_batch(services, batch, walk, &expected, &mut report, &mut reached).await?);
    }
    if let Some(walk) = walk {
        reached.insert(walk.organization, (walk.seq, walk.mac));
    }
    report.chains = reached.len() as u64;
    let now: BTreeMap<OrganizationId, head::Model> = heads(services)
        .await?
        .into_iter()
        .map(|row| (row.organization_id, row))
        .collect();
    for (organization, (seq, mac)) in &reached {
        match now.get(organization) {
            None => report.add(*organization, None, "the chain's head is gone"),
            Some(head) if head.seq < *seq => report.add(
                *organization,
                Some(*seq),
                format!(
                    "there are entries up to {seq}, and the head says {}",
                    head.seq
                ),
            ),
            Some(head) if head.seq == *seq && head.mac != *mac => {
                report.add(
                    *organization,
                    Some(*seq),
                    "the head has another MAC than the last entry",
                );
            }
            Some(_) => {}
        }
    }
    for (organization, one) in &expected {
        ends(*organization, one, reached.get(organization), &mut report);
    }
    for organization in organizations(services).await? {
        if !now.contains_key(&organization) && !reached.contains_key(&organization) {
            report.add(
                organization,
                None,
                "the organization has neither a head nor entries",
            );
        }
    }
    report
        .findings
        .sort_by_key(|finding| (finding.organization, finding.seq));
    Ok(report)
}

/// Whether the walk got as far as the head and the vault say.
fn ends(
    organization: OrganizationId,
    expected: &Expected,
    reached: Option<&(i64, Vec<u8>)>,
    report: &mut Report,
) {
    let last = reached.map_or(0, |(seq, _)| *seq);
    if let Some((seq, mac)) = &expected.head {
        if last < *seq {
            let first = last + 1;
            report.add(
                organization,
                Some(first),
                format!("entries {first} to {seq} are gone: the head says {seq}"),
            );
        } else if *seq == 0 && *mac != GENESIS {
            report.add(organization, None, "the head of an empty chain was changed");
        }
    }
    match (&expected.anchor, &expected.head) {
        (Some(anchor), None) => report.add(
            organization,
            None,
            format!(
                "the chain's head is gone; the vault knows of {} entries",
                anchor.seq
            ),
        ),
        (Some(anchor), Some((seq, _))) if *seq < anchor.seq => report.add(
            organization,
            Some(seq + 1),
            format!(
                "the chain was cut: the head says {seq}, and the vault has seen entry {}",
                anchor.seq
            ),
        ),
        _ => {}
    }
}

/// Every organization there is.
async fn organizations(services: &Services) -> Result<Vec<OrganizationId>, StoreError> {
    let tx = services.store.system(SystemPurpose::AuditRead).await?;
    let rows = tx.all(organization::Entity::find()).await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

async fn heads(services: &Services) -> Result<Vec<head::Model>, StoreError> {
    let tx = services.store.system(SystemPurpose::AuditRead).await?;
    tx.all(head::Entity::find()).await
}

/// The entries after where the walk stands, each batch in a transaction of its own.
async fn batch(services: &Services, walk: Option<&Walk>) -> Result<Vec<event::Model>, StoreError> {
    let mut query = event::Entity::find()
        .order_by_asc(event::Column::OrganizationId)
        .order_by_asc(event::Column::Seq)
        .limit(BATCH);
    if let Some(walk) = walk {
        query = query.filter(
            Condition::any()
                .add(event::Column::OrganizationId.gt(walk.organization))
                .add(
                    event::Column::OrganizationId
                        .eq(walk.organization)
                        .and(event::Column::Seq.gt(walk.seq)),
                ),
        );
    }
    let tx = services.store.system(SystemPurpose::AuditRead).await?;
    tx.all(query).await
}

async fn check_batch(
    services: &Services,
    batch: Vec<event::Model>,
    walk: Option<Walk>,
    expected: &BTreeMap<OrganizationId, Expected>,
    report: &mut Report,
    reached: &mut BTreeMap<OrganizationId, (i64, Vec<u8>)>,
) -> Result<Walk, VerifyError> {
    // Side by side, each on the MAC that stands before it in the database.
    let mut before = walk
        .as_ref()
        .map(|walk| (walk.organization, walk.mac.clone()));
    let messages: Vec<Vec<u8>> = batch
        .iter()
        .map(|row| {
            let message = match &before {
                Some((organization, mac)) if *organization == row.organization_id => {
                    ledger::message(row, mac)
                }
                _ => ledger::message(row, &GENESIS),
            };
            before = Some((row.organization_id, row.mac.clone()));
            message
        })
        .collect();
    let macs: Vec<[u8; 32]> = stream::iter(messages)
        .map(|message| async move { services.vault.mac(MacPurpose::Audit, &message).await })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let mut walk = walk;
    for (row, mac) in batch.into_iter().zip(macs) {
        report.entries += 1;
        let mut here = match walk.take() {
            Some(walk) if walk.organization == row.organization_id => walk,
            other => {
                if let Some(done) = other {
                    reached.insert(done.organization, (done.seq, done.mac));
                }
                Walk {
                    organization: row.organization_id,
                    seq: 0,
                    mac: GENESIS.to_vec(),
                    right: None,
                }
            }
        };
        check_entry(services, &mut here, &row, mac, report).await?;
        if let Some(one) = expected.get(&row.organization_id) {
            compare(&row, one, report);
        }
        here.seq = row.seq;
        here.mac = row.mac;
        walk = Some(here);
    }
    // Batches are never empty.
    walk.ok_or(VerifyError::Store(StoreError::Absent))
}

async fn check_entry(
    services: &Services,
    walk: &mut Walk,
    row: &event::Model,
    mac: [u8; 32],
    report: &mut Report,
) -> Result<(), VerifyError> {
    let organization = row.organization_id;
    let next = walk.seq + 1;
    let right = walk.right.take();
    if row.seq != next {
        let what = if row.seq < 1 {
            format!("an entry has the number {}", row.seq)
        } else if row.seq - 1 == next {
            format!("entry {next} is gone")
        } else {
            format!("entries {next} to {} are gone", row.seq - 1)
        };
        report.add(organization, Some(next), what);
    }
    if row.mac == mac {
        return Ok(());
    }
    if let Some(right) = right {
        // The MAC before this one was changed; this entry itself may be as it was.
        let again = services
            .vault
            .mac(MacPurpose::Audit, &ledger::message(row, &right))
            .await?;
        if row.mac == again {
            return Ok(());
        }
    }
    walk.right = Some(mac.to_vec());
    let what = if row.seq == next {
        "the entry is not what was written: its content, number, organization or MAC was changed"
    } else {
        "the entry cannot be checked without the one before it"
    };
    report.add(organization, Some(row.seq), what);
    Ok(())
}

/// Compares an entry with the head and the anchor that name its number.
fn compare(row: &event::Model, expected: &Expected, report: &mut Report) {
    if let Some((seq, mac)) = &expected.head
        && *seq == row.seq
        && *mac != row.mac
    {
        report.add(
            row.organization_id,
            Some(row.seq),
            "the head names another MAC for this entry",
        );
    }
    if let Some(anchor) = &expected.anchor
        && anchor.seq == row.seq
        && anchor.mac.as_slice() != row.mac
    {
        report.add(
            row.organization_id,
            Some(row.seq),
            "the vault has seen another entry with this number: the chain was cut and continued",
        );
    }
}
