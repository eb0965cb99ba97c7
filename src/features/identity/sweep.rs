//! Removes what has ended: sessions that nobody can use any more, tokens a while after they expired.

use std::time::Duration;

use sea_orm::{ColumnTrait, Condition};

use crate::authz::accounts::{api_token, login_session};
use crate::context::Services;
use crate::jobs::Job;
use crate::kernel::Problem;
use crate::store::{SystemPurpose, Unaudited};

/// Expired tokens stay in their owner's list for this long.
const SHOWN_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// The periodic work of this feature.
pub fn jobs() -> Vec<Job> {
    vec![Job::new(
        "identity.sweep",
        Duration::from_secs(600),
        |services| async move { sweep(&services).await },
    )]
}

/// Removes what has ended by now.
///
/// # Errors
/// When the database does not answer.
pub async fn sweep(services: &Services) -> Result<(), Problem> {
    let now = services.clock.now_ms();
    let limits = services.credentials.limits();
    let tx = services.store.system(SystemPurpose::Housekeeping).await?;
    let ended = Condition::any()
        .add(login_session::Column::LastSeenMs.lte(now - limits.idle_ms))
        .add(login_session::Column::CreatedAtMs.lte(now - limits.absolute_ms));
    let sessions = tx.delete_where::<login_session::Entity>(ended).await?;
    let expired = api_token::Column::ExpiresAtMs.lt(now - SHOWN_MS);
    let tokens = tx.delete_where::<api_token::Entity>(expired).await?;
    tx.commit_unaudited(Unaudited::Housekeeping).await?;
    if sessions + tokens > 0 {
        tracing::info!(sessions, tokens, "swept what had ended");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sea_orm::ActiveValue::Set;
    use sea_orm::EntityTrait;

    use super::*;
    use crate::authz::Role;
    use crate::features::members::testing;
    use crate::kernel::SessionId;

    #[tokio::test]
    async fn only_what_has_ended_goes() {
        let folder = tempfile::tempdir().unwrap();
        let services = crate::context::testing::services(folder.path()).await;
        let place = testing::place(&services.store, Role::User).await;
        let now = services.clock.now_ms();
        let limits = services.credentials.limits();
        let cases = [
            (now, now, true),
            (now - limits.idle_ms - 1, now - limits.idle_ms - 1, false),
            (now, now - limits.absolute_ms, false),
        ];
        let tx = services
            .store
            .system(SystemPurpose::SignInWrite)
            .await
            .unwrap();
        for (number, (seen, created, _)) in cases.iter().enumerate() {
            tx.insert(login_session::ActiveModel {
                id: Set(SessionId::new(&services.clock, &services.rng)),
                account_id: Set(place.user),
                token_hash: Set(vec![u8::try_from(number).unwrap()]),
                stage: Set("active".into()),
                address: Set(String::new()),
                user_agent: Set(String::new()),
                created_at_ms: Set(*created),
                last_seen_ms: Set(*seen),
                authenticated_at_ms: Set(*created),
            })
            .await
            .unwrap();
        }
        tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
        sweep(&services).await.unwrap();
        let tx = services
            .store
            .system(SystemPurpose::SignInRead)
            .await
            .unwrap();
        let left = tx.all(login_session::Entity::find()).await.unwrap();
        let hashes: Vec<u8> = left.iter().map(|row| row.token_hash[0]).collect();
        assert_eq!(hashes, [0]);
    }
}
