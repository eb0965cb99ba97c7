//! Tells of secrets that end: once seven days before, and once when the time has come; in the audit log, and by mail to who
//! set the value.

use std::time::Duration;

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::model::{SOON_MS, Scope, secret};
use super::ops::subject;
use crate::authz::accounts::account;
use crate::authz::membership;
use crate::context::Services;
use crate::features::audit::{self, Action};
use crate::features::members::workspace;
use crate::jobs::Job;
use crate::kernel::Problem;
use crate::store::SystemPurpose;
use crate::web::time;

/// What was told of a secret's end, as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// That it comes.
    Soon = 1,
    /// That it has come.
    Expired = 2,
}

/// Most of them in one round; the next round does the others.
const AT_ONCE: u64 = 200;

/// The periodic work of this feature.
pub fn jobs() -> Vec<Job> {
    vec![Job::new(
        "secrets.expiry",
        Duration::from_secs(60),
        |services| async move { remind(&services).await },
    )]
}

/// Tells of what ends within seven days and of what has ended, each once.
async fn remind(services: &Services) -> Result<(), Problem> {
    let now = services.clock.now_ms();
    let due = |told: Told, until_ms: i64| {
        Condition::all()
            .add(secret::Column::ExpiresAtMs.lte(until_ms))
            .add(secret::Column::Reminded.lt(told as i64))
    };
    let query = secret::Entity::find()
        .filter(
            Condition::any()
                .add(due(Told::Expired, now))
                .add(due(Told::Soon, now.saturating_add(SOON_MS))),
        )
        .order_by_asc(secret::Column::ExpiresAtMs)
        .limit(AT_ONCE);
    let tx = services.store.system(SystemPurpose::Housekeeping).await?;
    let rows = tx.all(query).await?;
    drop(tx);
    for row in rows {
        let told = match row.expires_at_ms {
            Some(at) if at <= now => Told::Expired,
            _ => Told::Soon,
        };
        tell(services, row, told).await?;
    }
    Ok(())
}

async fn tell(services: &Services, row: secret::Model, told: Told) -> Result<(), Problem> {
    let tx = services.store.system(SystemPurpose::Housekeeping).await?;
    // Noted before the mail goes out: two replicas may be here at once, and one of them sends it.
    let unchanged = Condition::all()
        .add(secret::Column::WorkspaceId.eq(row.workspace_id))
        .add(secret::Column::Id.eq(row.id))
        .add(secret::Column::Reminded.eq(row.reminded))
        .add(secret::Column::ExpiresAtMs.eq(row.expires_at_ms));
    let noted = secret::ActiveModel {
        reminded: Set(told as i64),
        ..Default::default()
    };
    if tx.update_where::<secret::Entity>(unchanged, noted).await? == 0 {
        return Ok(());
    }
    let place = tx
        .one(workspace::Entity::find_by_id(row.workspace_id))
        .await?
        .ok_or_else(|| Problem::internal("a secret's workspace is not there"))?;
    // Who is no member any more is told nothing of the workspace.
    let member = membership::Entity::find()
        .filter(membership::Column::WorkspaceId.eq(row.workspace_id))
        .filter(membership::Column::AccountId.eq(row.updated_by));
    let email = match tx.one(member).await? {
        Some(_) => tx
            .one(account::Entity::find_by_id(row.updated_by))
            .await?
            .and_then(|account| account.email),
        None => None,
    };
    let when = time::minute(row.expires_at_ms.unwrap_or_default());
    let detail = match told {
        Told::Soon => format!("expires {when}"),
        Told::Expired => format!("expired {when}"),
    };
    let (object, about) = subject(&row, &detail);
    let entry = audit::by_server(services, Action::SecretExpire, object, about);
    let scope = Scope::of(&row);
    tx.commit_in(place.organization_id, row.workspace_id, entry)
        .await?;
    let (Some(mailer), Some(email)) = (&services.mailer, email) else {
        return Ok(());
    };
    let text = format!(
        "The secret {}{} in the workspace \"{}\" {detail} (UTC).\n\n\
         It is still delivered to containers. Set a new value, with a new date if there is one:\n\n\
         {}/workspaces/{}/secrets/{}{}\n",
        row.name,
        match scope {
            Scope::Workspace => "",
            Scope::Project(_) => " of a project",
            Scope::Own => " of your own",
        },
        place.name,
        services.public_url,
        row.workspace_id,
        row.name,
        scope.query()
    );
    let subject = format!("The secret {} {detail}", row.name);
    if let Err(error) = mailer.send(&email, &subject, text).await {
        let problem = Problem::internal(error);
        tracing::warn!(
            secret = %row.id,
            cause = problem.cause,
            "a reminder of a secret's end could not be sent by mail"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authz::Role;
    use crate::features::members::testing;
    use crate::kernel::SecretId;
    use crate::store::Unaudited;

    #[tokio::test]
    async fn each_end_is_told_once_before_and_once_after() {
        let folder = tempfile::tempdir().unwrap();
        let services = crate::context::testing::services(folder.path()).await;
        let place = testing::place(&services.store, Role::Owner).await;
        let now = services.clock.now_ms();
        let day = 24 * 60 * 60 * 1_000;
        let cases = [
            (Some(now - 1), 0, 2),
            (Some(now - 1), 1, 2),
            (Some(now + 6 * day), 0, 1),
            (Some(now + 6 * day), 1, 1),
            (Some(now + 8 * day), 0, 0),
            (None, 0, 0),
        ];
        let tx = services
            .store
            .system(SystemPurpose::Housekeeping)
            .await
            .unwrap();
        for (number, (expires_at_ms, reminded, _)) in cases.iter().enumerate() {
            tx.insert(secret::ActiveModel {
                workspace_id: Set(place.workspace),
                id: Set(SecretId::new(&services.clock, &services.rng)),
                name: Set(format!("S{number}")),
                tier: Set("masked".into()),
                delivered_as: Set("environment".into()),
                scope: Set(String::new()),
                description: Set(String::new()),
                expand: Set(false),
                refers_to: Set(String::new()),
                expires_at_ms: Set(*expires_at_ms),
                reminded: Set(*reminded),
                last_delivered_at_ms: Set(None),
                version: Set(1),
                created_by: Set(place.user),
                created_at_ms: Set(1),
                updated_by: Set(place.user),
                updated_at_ms: Set(1),
            })
            .await
            .unwrap();
        }
        tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
        for _ in 0..2 {
            remind(&services).await.unwrap();
            let tx = services
                .store
                .system(SystemPurpose::Housekeeping)
                .await
                .unwrap();
            let by_name = secret::Entity::find().order_by_asc(secret::Column::Name);
            let rows = tx.all(by_name).await.unwrap();
            let after: Vec<i64> = rows.iter().map(|row| row.reminded).collect();
            assert_eq!(after, cases.map(|(_, _, after)| after));
            let entries = tx
                .all(crate::store::ledger::event::Entity::find())
                .await
                .unwrap();
            let told = entries
                .iter()
                .filter(|entry| entry.action == "secrets.expire");
            assert_eq!(told.count(), 3);
        }
    }
}
