//! One's own tokens.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::model::{MOST, NewToken, Token, TokenRequest};
use crate::authz::accounts::api_token;
use crate::authz::{Scope, new_token};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::kernel::{Code, Page, Problem, TokenId, UserId};
use crate::shared::Subject;
use crate::store::{StoreError, SystemPurpose, SystemTx};
use crate::vault::MacPurpose;

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

/// One's own tokens, newest first.
///
/// # Errors
/// 403 for a token without the scope.
pub async fn list(ctx: &Ctx) -> Result<Page<Token>, Problem> {
    reach(ctx)?;
    Ok(Page::whole(of(&ctx.services, ctx.actor.user()).await?))
}

/// The tokens of an account that the caller may look after.
pub(super) async fn of(services: &Services, account: UserId) -> Result<Vec<Token>, StoreError> {
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let query = api_token::Entity::find().filter(api_token::Column::AccountId.eq(account));
    let mut rows = tx.all(query).await?;
    rows.sort_by_key(|row| std::cmp::Reverse((row.created_at_ms, row.id)));
    Ok(rows.into_iter().map(Token::from).collect())
}

/// Makes a token for the caller.
///
/// # Errors
/// `reauthentication_required`, always so for tokens; `unprocessable`; `conflict` when there are too many.
pub async fn create(ctx: &Ctx, wanted: TokenRequest) -> Result<NewToken, Problem> {
    reach(ctx)?;
    wanted.check()?;
    ctx.require_fresh()?;
    let (value, hash) = mint(&ctx.services).await?;
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    let token = insert(&tx, &ctx.services, ctx.actor.user(), wanted, hash).await?;
    let organizations = audit::organizations_of(&tx, ctx.actor.user()).await?;
    let entry = audit::entry(ctx, Action::TokenCreate, token.id, words(&token));
    tx.commit(&organizations, entry).await?;
    Ok(NewToken { value, token })
}

/// A value and its keyed hash. Before the transaction, which must not wait for another process.
pub(super) async fn mint(services: &Services) -> Result<(String, Vec<u8>), Problem> {
    let value = new_token(&services.rng);
    let hash = services
        .vault
        .mac(MacPurpose::ApiToken, value.as_bytes())
        .await?;
    Ok((value, hash.to_vec()))
}

/// Writes the row of a token.
pub(super) async fn insert(
    tx: &SystemTx,
    services: &Services,
    account: UserId,
    wanted: TokenRequest,
    hash: Vec<u8>,
) -> Result<Token, Problem> {
    let there = api_token::Entity::find().filter(api_token::Column::AccountId.eq(account));
    if tx.all(there).await?.len() >= MOST {
        return Err(Problem::new(
            Code::Conflict,
            format!("There are {MOST} tokens, which is the most. Revoke one that is not used."),
        ));
    }
    let now = services.clock.now_ms();
    let mut scopes: Vec<&str> = wanted.scopes.iter().map(|scope| scope.as_str()).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let row = tx
        .insert(api_token::ActiveModel {
            id: Set(TokenId::new(&services.clock, &services.rng)),
            account_id: Set(account),
            name: Set(wanted.name.trim().to_owned()),
            token_hash: Set(hash),
            scopes: Set(scopes.join(" ")),
            created_at_ms: Set(now),
            expires_at_ms: Set(wanted
                .expires_in_days
                .map(|days| now + i64::from(days) * 86_400_000)),
            last_used_ms: Set(None),
        })
        .await?;
    Ok(row.into())
}

/// What the audit log says of a token.
pub(super) fn words(token: &Token) -> String {
    let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
    match token.expires_at_ms {
        Some(_) => format!("{}, ends", scopes.join(" ")),
        None => format!("{}, does not end", scopes.join(" ")),
    }
}

/// Revokes one of one's own tokens; what was opened with it ends at once.
///
/// # Errors
/// 404 when it is not there or not one's own.
pub async fn revoke(ctx: &Ctx, id: TokenId) -> Result<(), Problem> {
    reach(ctx)?;
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    delete(&tx, ctx.actor.user(), id).await?;
    let organizations = audit::organizations_of(&tx, ctx.actor.user()).await?;
    let entry = audit::entry(ctx, Action::TokenRevoke, id, "");
    tx.commit(&organizations, entry).await?;
    ended(&ctx.services, ctx.actor.user(), id);
    Ok(())
}

/// Deletes the row of an account's token.
pub(super) async fn delete(tx: &SystemTx, account: UserId, id: TokenId) -> Result<(), Problem> {
    let condition = Condition::all()
        .add(api_token::Column::Id.eq(id))
        .add(api_token::Column::AccountId.eq(account));
    match tx.delete_where::<api_token::Entity>(condition).await? {
        0 => Err(Problem::not_found()),
        _ => Ok(()),
    }
}

/// What follows when a token has ended.
pub(super) fn ended(services: &Services, account: UserId, id: TokenId) {
    tracing::debug!(token = %id, "revoked");
    services.changed(Subject::Account(account));
}
