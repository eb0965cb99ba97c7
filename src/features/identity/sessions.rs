//! Opening, listing and ending sessions.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::authz::accounts::login_session;
use crate::authz::{Credential, new_session_value};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::kernel::{Problem, SessionId, UserId};
use crate::store::{StoreError, SystemPurpose, SystemTx};
use crate::vault::MacPurpose;

/// How far a sign-in has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Done.
    Active,
    /// The second factor is still to be shown.
    SecondFactor,
}

/// A session about to be opened; its cookie value exists nowhere else.
pub struct NewSession {
    /// The cookie's value.
    pub value: String,
    /// Its id, for the list and the log.
    pub id: SessionId,
    hash: [u8; 32],
}

impl NewSession {
    /// Has the vault hash a fresh value. Called before the transaction, which must not wait for another process.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub async fn prepare(services: &Services) -> Result<Self, Problem> {
        let value = new_session_value(&services.rng);
        let hash = services
            .vault
            .mac(MacPurpose::SessionToken, value.as_bytes())
            .await?;
        Ok(Self {
            value,
            id: SessionId::new(&services.clock, &services.rng),
            hash,
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(
        &self,
        tx: &SystemTx,
        account: UserId,
        stage: Stage,
        now_ms: i64,
        address: &str,
        user_agent: &str,
    ) -> Result<(), StoreError> {
        tx.insert(login_session::ActiveModel {
            id: Set(self.id),
            account_id: Set(account),
            token_hash: Set(self.hash.to_vec()),
            stage: Set(if stage == Stage::Active {
                "active"
            } else {
                "second_factor"
            }
            .to_owned()),
            address: Set(address.to_owned()),
            user_agent: Set(user_agent.to_owned()),
            created_at_ms: Set(now_ms),
            last_seen_ms: Set(now_ms),
            authenticated_at_ms: Set(now_ms),
        })
        .await?;
        Ok(())
    }
}

/// A session for the page of one's own account.
pub struct SessionRow {
    /// Its id.
    pub id: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// Where from.
    pub address: String,
    /// With which browser.
    pub user_agent: String,
    /// Minute of last use.
    pub last_seen: String,
    /// Minute of opening.
    pub created: String,
}

/// One's own sessions, newest first.
///
/// # Errors
/// [`StoreError`].
pub async fn list(ctx: &Ctx) -> Result<Vec<SessionRow>, StoreError> {
    let tx = ctx.services.store.system(SystemPurpose::SignInRead).await?;
    let query =
        login_session::Entity::find().filter(login_session::Column::AccountId.eq(ctx.actor.user));
    let mut rows = tx.all(query).await?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.created_at_ms));
    Ok(rows
        .into_iter()
        .map(|row| SessionRow {
            current: ctx.actor.credential == Credential::Session(row.id),
            id: row.id.to_string(),
            address: row.address,
            user_agent: row.user_agent,
            last_seen: crate::web::time::minute(row.last_seen_ms),
            created: crate::web::time::minute(row.created_at_ms),
        })
        .collect())
}

/// Ends one of one's own sessions.
///
/// # Errors
/// 404 when it is not there or not one's own.
pub async fn end(ctx: &Ctx, id: SessionId) -> Result<(), Problem> {
    let services = &ctx.services;
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    let condition = sea_orm::Condition::all()
        .add(login_session::Column::Id.eq(id))
        .add(login_session::Column::AccountId.eq(ctx.actor.user));
    let gone = tx.delete_where::<login_session::Entity>(condition).await?;
    if gone == 0 {
        return Err(Problem::not_found());
    }
    let organizations = audit::organizations_of(&tx, ctx.actor.user).await?;
    let entry = audit::entry(ctx, Action::SessionRevoke, id, "");
    tx.commit(&organizations, entry).await?;
    services.credentials.forget_all();
    Ok(())
}

/// Marks a session as having passed its second factor, or as freshly authenticated.
///
/// # Errors
/// [`StoreError`].
pub async fn advance(tx: &SystemTx, id: SessionId, now_ms: i64) -> Result<(), StoreError> {
    let changed = login_session::ActiveModel {
        stage: Set("active".to_owned()),
        authenticated_at_ms: Set(now_ms),
        last_seen_ms: Set(now_ms),
        ..Default::default()
    };
    tx.update_where::<login_session::Entity>(login_session::Column::Id.eq(id), changed)
        .await?;
    Ok(())
}
