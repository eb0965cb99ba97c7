//! Opening, listing and ending sessions.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use crate::authz::accounts::login_session;
use crate::authz::{Credential, Scope, new_session_value};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::kernel::{Code, Page, Problem, SessionId, UserId};
use crate::shared::Subject;
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
    Ok(rows(ctx)
        .await?
        .into_iter()
        .map(|row| SessionRow {
            current: *ctx.actor.credential() == Credential::Session(row.id),
            id: row.id.to_string(),
            address: row.address,
            user_agent: row.user_agent,
            last_seen: crate::web::time::minute(row.last_seen_ms),
            created: crate::web::time::minute(row.created_at_ms),
        })
        .collect())
}

/// A signed-in browser, as the API shows it.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct SessionItem {
    /// Its id; not the cookie.
    id: SessionId,
    /// Whether it is the one that asks.
    current: bool,
    /// Where it was opened from.
    address: String,
    /// With which browser.
    user_agent: String,
    /// When it was opened, milliseconds since the epoch.
    created_at_ms: i64,
    /// When it was last used, to about a minute.
    last_seen_ms: i64,
}

/// One's own sessions, newest first, for the API.
///
/// # Errors
/// 403 for a token without the scope.
pub async fn items(ctx: &Ctx) -> Result<Page<SessionItem>, Problem> {
    reach(ctx)?;
    let rows = rows(ctx).await?;
    let item = |row: login_session::Model| SessionItem {
        current: *ctx.actor.credential() == Credential::Session(row.id),
        id: row.id,
        address: row.address,
        user_agent: row.user_agent,
        created_at_ms: row.created_at_ms,
        last_seen_ms: row.last_seen_ms,
    };
    Ok(Page::whole(rows.into_iter().map(item).collect()))
}

/// A token needs the scope `account` for what is the account's own.
fn reach(ctx: &Ctx) -> Result<(), Problem> {
    if ctx.actor.has_scope(Scope::Account) {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "The token lacks the scope \"account\". Make one that has it.",
    ))
}

/// Ends all of one's own sessions but the one that asks, and says how many.
///
/// # Errors
/// 403 for a token without the scope.
pub async fn end_others(ctx: &Ctx) -> Result<u64, Problem> {
    reach(ctx)?;
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    let gone = delete_others(&tx, ctx).await?;
    let organizations = audit::organizations_of(&tx, ctx.actor.user()).await?;
    let detail = format!("all others: {gone}");
    let entry = audit::entry(ctx, Action::SessionRevoke, ctx.actor.user(), detail);
    tx.commit(&organizations, entry).await?;
    ctx.services.changed(Subject::Account(ctx.actor.user()));
    Ok(gone)
}

/// Deletes the rows of all one's own sessions but the one that asks.
pub async fn delete_others(tx: &SystemTx, ctx: &Ctx) -> Result<u64, StoreError> {
    let mut condition =
        sea_orm::Condition::all().add(login_session::Column::AccountId.eq(ctx.actor.user()));
    if let Credential::Session(id) = ctx.actor.credential() {
        condition = condition.add(login_session::Column::Id.ne(*id));
    }
    tx.delete_where::<login_session::Entity>(condition).await
}

async fn rows(ctx: &Ctx) -> Result<Vec<login_session::Model>, StoreError> {
    let tx = ctx.services.store.system(SystemPurpose::SignInRead).await?;
    let query =
        login_session::Entity::find().filter(login_session::Column::AccountId.eq(ctx.actor.user()));
    let mut rows = tx.all(query).await?;
    rows.sort_by_key(|row| std::cmp::Reverse(row.created_at_ms));
    Ok(rows)
}

/// Ends one of one's own sessions.
///
/// # Errors
/// 404 when it is not there or not one's own.
pub async fn end(ctx: &Ctx, id: SessionId) -> Result<(), Problem> {
    reach(ctx)?;
    let services = &ctx.services;
    let tx = services.store.system(SystemPurpose::SignInWrite).await?;
    let condition = sea_orm::Condition::all()
        .add(login_session::Column::Id.eq(id))
        .add(login_session::Column::AccountId.eq(ctx.actor.user()));
    let gone = tx.delete_where::<login_session::Entity>(condition).await?;
    if gone == 0 {
        return Err(Problem::not_found());
    }
    let organizations = audit::organizations_of(&tx, ctx.actor.user()).await?;
    let entry = audit::entry(ctx, Action::SessionRevoke, id, "");
    tx.commit(&organizations, entry).await?;
    services.changed(Subject::Account(ctx.actor.user()));
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
