//! Which of several servers works on containers: a row of the table `leader`, renewed while its holder lives.
//!
//! Times are measured from when this process saw the row change, and never read from the row: clocks may differ. The holder
//! counts from before it sent its renewal, another server from after it saw it; so the holder lets go at 8 s and nobody else
//! begins before 12 s.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait};
use tokio::sync::watch;

use crate::context::Services;
use crate::store::{Store, StoreError, SystemPurpose, Unaudited};

/// The row for containers.
const NAME: &str = "containers";
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(2);
/// For one renewal.
const LIMIT: Duration = Duration::from_secs(3);
/// After so long without a renewal the holder lets go.
const HELD: Duration = Duration::from_secs(8);
/// After so long without a change another server takes the row.
const FREE: Duration = Duration::from_secs(12);

/// The table `leader`.
mod row {
    use sea_orm::entity::prelude::*;

    /// A row of it.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "leader")]
    pub struct Model {
        /// Of what.
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        /// A random name of the process that leads; empty when it let go.
        pub holder: String,
        /// Counts the renewals.
        pub renewals: i64,
    }

    /// No declared relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Tries to lead until the server shuts down, and says in `leading` whether it does.
pub async fn run(services: &Services, leading: &watch::Sender<bool>) {
    let random: [u8; 12] = services.rng.bytes();
    let mut candidate = Candidate {
        store: services.store.clone(),
        holder: URL_SAFE_NO_PAD.encode(random),
        seen: None,
    };
    let mut held_since = None;
    loop {
        let sent = Instant::now();
        match tokio::time::timeout(LIMIT, candidate.hold()).await {
            Ok(Ok(true)) => held_since = Some(sent),
            Ok(Ok(false)) => held_since = None,
            Ok(Err(error)) => tracing::warn!(%error, "cannot ask who leads; trying again"),
            Err(_) => tracing::warn!("the database is slow to say who leads; trying again"),
        }
        let held = held_since.is_some_and(|since| since.elapsed() < HELD);
        leading.send_if_modified(|leads| {
            let changed = *leads != held;
            if changed {
                tracing::info!(leads = held, "works on containers");
            }
            *leads = held;
            changed
        });
        tokio::select! {
            () = services.shutdown.cancelled() => break,
            () = tokio::time::sleep(RENEW) => {}
        }
    }
    if held_since.is_some() {
        // Another server need not wait then.
        let _ = tokio::time::timeout(LIMIT, candidate.let_go()).await;
    }
}

struct Candidate {
    store: Store,
    holder: String,
    /// The row as it was seen last, and since when it is so.
    seen: Option<(row::Model, Instant)>,
}

impl Candidate {
    /// Takes or renews the row, and says whether it is held.
    async fn hold(&mut self) -> Result<bool, StoreError> {
        let tx = self.store.system(SystemPurpose::Housekeeping).await?;
        let found = tx.one(row::Entity::find_by_id(NAME.to_owned())).await?;
        let Some(found) = found else {
            let first = row::ActiveModel {
                name: Set(NAME.to_owned()),
                holder: Set(self.holder.clone()),
                renewals: Set(1),
            };
            return match tx.insert(first).await {
                Ok(_) => tx
                    .commit_unaudited(Unaudited::Housekeeping)
                    .await
                    .map(|()| true),
                Err(StoreError::Duplicate) => Ok(false),
                Err(error) => Err(error),
            };
        };
        match &self.seen {
            Some((seen, _)) if *seen == found => {}
            _ => self.seen = Some((found.clone(), Instant::now())),
        }
        let silent = |since: &Instant| since.elapsed() > FREE;
        let free = found.holder.is_empty()
            || found.holder == self.holder
            || self.seen.as_ref().is_some_and(|(_, since)| silent(since));
        if !free {
            return Ok(false);
        }
        let values = row::ActiveModel {
            holder: Set(self.holder.clone()),
            renewals: Set(found.renewals + 1),
            ..Default::default()
        };
        let changed = tx
            .update_where::<row::Entity>(unchanged(&found), values)
            .await?;
        tx.commit_unaudited(Unaudited::Housekeeping).await?;
        Ok(changed > 0)
    }

    async fn let_go(&self) -> Result<(), StoreError> {
        let tx = self.store.system(SystemPurpose::Housekeeping).await?;
        let values = row::ActiveModel {
            holder: Set(String::new()),
            ..Default::default()
        };
        let mine = Condition::all()
            .add(row::Column::Name.eq(NAME))
            .add(row::Column::Holder.eq(self.holder.as_str()));
        tx.update_where::<row::Entity>(mine, values).await?;
        tx.commit_unaudited(Unaudited::Housekeeping).await
    }
}

fn unchanged(row: &row::Model) -> Condition {
    Condition::all()
        .add(row::Column::Name.eq(NAME))
        .add(row::Column::Holder.eq(row.holder.as_str()))
        .add(row::Column::Renewals.eq(row.renewals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing;

    #[tokio::test]
    async fn one_leads_until_it_lets_go_or_falls_silent() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::services(folder.path()).await.store;
        let candidate = |holder: &str| Candidate {
            store: store.clone(),
            holder: holder.to_owned(),
            seen: None,
        };
        let (mut one, mut two) = (candidate("one"), candidate("two"));
        assert!(one.hold().await.unwrap());
        assert!(!two.hold().await.unwrap());
        assert!(one.hold().await.unwrap());
        one.let_go().await.unwrap();
        assert!(two.hold().await.unwrap());
        assert!(!one.hold().await.unwrap());
        // Two falls silent: what one saw last is old.
        let long_ago = Instant::now().checked_sub(FREE + RENEW).unwrap();
        one.seen.as_mut().unwrap().1 = long_ago;
        assert!(one.hold().await.unwrap());
        assert!(!two.hold().await.unwrap());
        // A renewal in between counts.
        assert!(!two.hold().await.unwrap());
        two.seen.as_mut().unwrap().1 = long_ago;
        assert!(one.hold().await.unwrap());
        assert!(!two.hold().await.unwrap());
    }
}
