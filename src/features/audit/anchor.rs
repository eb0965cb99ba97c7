//! Tells the vault how far the chains have grown, so that an end that is cut off is missed.
//!
//! What always holds: within about a second of a commit the vault has its entry's number, unless the vault or this
//! process ended in between; the next start makes up for that.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::context::Services;
use crate::kernel::OrganizationId;
use crate::store::ledger::{self, Head, event, head};
use crate::store::{StoreError, SystemPurpose};
use crate::vault::VaultError;

/// Between two looks at what was committed.
const EVERY: Duration = Duration::from_millis(500);

/// Starts carrying heads to the vault until the server stops; [`flush`] carries the last ones.
pub fn start(services: &Services) {
    let services = services.clone();
    let tasks = services.tasks.clone();
    tasks.spawn(async move {
        if let Err(error) = catch_up(&services).await {
            tracing::warn!(error = %error, "the audit log's chains could not be compared with the vault's anchors");
        }
        let mut waiting = BTreeMap::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = services.shutdown.cancelled() => break,
            }
            carry(&services, &mut waiting).await;
        }
    });
}

/// Carries what was committed since the last look. For the end of a process, when nothing is committed any more.
pub async fn flush(services: &Services) {
    carry(services, &mut BTreeMap::new()).await;
}

async fn carry(services: &Services, waiting: &mut BTreeMap<OrganizationId, Head>) {
    for head in services.store.ledger().take_heads() {
        waiting.insert(head.organization, head);
    }
    while let Some((organization, head)) = waiting.pop_first() {
        match services.vault.anchor(&head.message, &head.mac).await {
            Ok(_) => {}
            Err(VaultError::Refused { reason }) => {
                tracing::error!(%organization, seq = head.seq, reason, "the vault refuses an anchor of the audit log");
            }
            Err(error) => {
                tracing::debug!(%error, "the vault is away; anchors wait");
                waiting.insert(organization, head);
                return;
            }
        }
    }
}

/// Why the chains could not be compared.
#[derive(Debug, thiserror::Error)]
enum CatchUpError {
    #[error("reading the database: {0}")]
    Store(#[from] StoreError),
    #[error("asking the vault: {0}")]
    Vault(#[from] VaultError),
}

/// What was committed and not carried when the last process ended.
async fn catch_up(services: &Services) -> Result<(), CatchUpError> {
    let known: BTreeMap<[u8; 16], i64> = services
        .vault
        .anchors()
        .await?
        .into_iter()
        .map(|anchor| (anchor.chain, anchor.seq))
        .collect();
    let heads = {
        let tx = services.store.system(SystemPurpose::AuditRead).await?;
        tx.all(head::Entity::find()).await?
    };
    for row in heads {
        let anchored = known
            .get(&row.organization_id.bytes())
            .copied()
            .unwrap_or_default();
        if row.seq < anchored {
            tracing::error!(organization = %row.organization_id, seq = row.seq, anchored,
                "the audit log is shorter than the vault remembers: entries were removed, or an older database was \
                 restored. Run optidev verify audit");
        } else if row.seq > anchored
            && let Some(head) = read_head(services, row.organization_id, row.seq).await?
            && let Err(error) = services.vault.anchor(&head.message, &head.mac).await
        {
            tracing::error!(organization = %row.organization_id, seq = row.seq, %error,
                "the last entry of the audit log cannot be anchored. Run optidev verify audit");
        }
    }
    Ok(())
}

/// The entry `seq` with its message, which needs the one before it.
async fn read_head(
    services: &Services,
    organization: OrganizationId,
    seq: i64,
) -> Result<Option<Head>, StoreError> {
    let tx = services.store.system(SystemPurpose::AuditRead).await?;
    let query = event::Entity::find()
        .filter(event::Column::OrganizationId.eq(organization))
        .filter(event::Column::Seq.lte(seq))
        .order_by_desc(event::Column::Seq)
        .limit(2);
    let rows = tx.all(query).await?;
    let mut rows = rows.into_iter();
    let Some(last) = rows.next() else {
        return Ok(None);
    };
    let before = rows
        .next()
        .map_or_else(|| ledger::GENESIS.to_vec(), |row| row.mac);
    let message = ledger::message(&last, &before);
    Ok(last.mac.try_into().ok().map(|mac| Head {
        organization,
        seq: last.seq,
        message,
        mac,
    }))
}
