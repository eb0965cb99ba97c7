//! Service accounts of a workspace, and their tokens.
//!
//! An account is no workspace's row. So each operation first finds the service account among the members, through the
//! granted workspace, and only then touches the account itself.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::model::{MOST_ACCOUNTS, NewToken, ServiceAccount, Token, TokenRequest};
use super::ops;
use crate::authz::accounts::{account, api_token};
use crate::authz::permission::{ServiceAccountsManage, ServiceAccountsRead};
use crate::authz::{Role, membership};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::features::members;
use crate::kernel::{Code, Page, Problem, TokenId, UserId, WorkspaceId};
use crate::store::{Grant, Permission, SystemPurpose};

/// The workspace's service accounts, by name.
///
/// # Errors
/// 404, 403.
pub async fn list(ctx: &Ctx, workspace: WorkspaceId) -> Result<Page<ServiceAccount>, Problem> {
    let grant = ctx.authorize::<ServiceAccountsRead>(workspace).await?;
    Ok(Page::whole(all(ctx, &grant).await?))
}

async fn all<P: Permission>(ctx: &Ctx, grant: &Grant<P>) -> Result<Vec<ServiceAccount>, Problem> {
    let members = {
        let tx = ctx.services.store.scoped_read(grant).await?;
        tx.find::<membership::Entity>().all().await?
    };
    let ids: Vec<UserId> = members.iter().map(|row| row.account_id).collect();
    let tx = ctx.services.store.system(SystemPurpose::SignInRead).await?;
    let accounts = account::Entity::find()
        .filter(account::Column::Id.is_in(ids))
        .filter(account::Column::HomeWorkspaceId.eq(grant.workspace()));
    let accounts = tx.all(accounts).await?;
    let ids: Vec<UserId> = accounts.iter().map(|row| row.id).collect();
    let tokens = tx
        .all(api_token::Entity::find().filter(api_token::Column::AccountId.is_in(ids)))
        .await?;
    let mut found: Vec<ServiceAccount> = accounts
        .into_iter()
        .filter_map(|row| {
            let member = members.iter().find(|member| member.account_id == row.id)?;
            Some(ServiceAccount {
                tokens: tokens
                    .iter()
                    .filter(|token| token.account_id == row.id)
                    .count(),
                id: row.id,
                name: row.name,
                role: member.role.parse().ok()?,
                created_at_ms: row.created_at_ms,
            })
        })
        .collect();
    found.sort_by_key(|one| (one.name.to_lowercase(), one.id));
    Ok(found)
}

/// One of them.
///
/// # Errors
/// 404 for persons, and for service accounts of other workspaces.
async fn one<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    user: UserId,
) -> Result<ServiceAccount, Problem> {
    all(ctx, grant)
        .await?
        .into_iter()
        .find(|one| one.id == user)
        .ok_or_else(Problem::not_found)
}

/// Makes a service account.
///
/// # Errors
/// `unprocessable` for the name, and for the role owner; `conflict` when there are too many.
pub async fn create(
    ctx: &Ctx,
    workspace: WorkspaceId,
    name: &str,
    role: Role,
) -> Result<ServiceAccount, Problem> {
    let grant = ctx.authorize::<ServiceAccountsManage>(workspace).await?;
    check_name(name)?;
    if role == Role::Owner {
        return Err(Problem::new(
            Code::Unprocessable,
            "role: a service account cannot be an owner. Choose admin, user or viewer.",
        ));
    }
    if all(ctx, &grant).await?.len() >= MOST_ACCOUNTS {
        return Err(Problem::new(
            Code::Conflict,
            format!("The workspace has {MOST_ACCOUNTS} service accounts, which is the most."),
        ));
    }
    let id = UserId::new(&ctx.services.clock, &ctx.services.rng);
    let now = ctx.now_ms();
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    members::still(&tx, &grant).await?;
    tx.insert(account::ActiveModel::service(id, name, workspace, now))
        .await?;
    let organization = grant.organization();
    members::add_member(&tx, &ctx.services, organization, workspace, id, role).await?;
    let entry = audit::entry(ctx, Action::ServiceAccountCreate, id, role.as_str());
    tx.commit_in(organization, workspace, entry).await?;
    Ok(ServiceAccount {
        id,
        name: name.trim().to_owned(),
        role,
        created_at_ms: now,
        tokens: 0,
    })
}

fn check_name(name: &str) -> Result<(), Problem> {
    members::name_complaint(name).map_or(Ok(()), |message| {
        Err(Problem::new(
            Code::Unprocessable,
            format!("name: {message}"),
        ))
    })
}

/// Renames one; its role is changed as that of any member.
///
/// # Errors
/// 404, 403; `unprocessable` for the name.
pub async fn rename(
    ctx: &Ctx,
    workspace: WorkspaceId,
    user: UserId,
    name: &str,
) -> Result<ServiceAccount, Problem> {
    let grant = ctx.authorize::<ServiceAccountsManage>(workspace).await?;
    let known = one(ctx, &grant, user).await?;
    check_name(name)?;
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    let values = account::ActiveModel {
        name: Set(name.trim().to_owned()),
        ..Default::default()
    };
    tx.update_where::<account::Entity>(its_own(workspace, user), values)
        .await?;
    let entry = audit::entry(ctx, Action::ServiceAccountUpdate, user, "name");
    tx.commit_in(grant.organization(), workspace, entry).await?;
    Ok(ServiceAccount {
        name: name.trim().to_owned(),
        ..known
    })
}

/// The row of a service account of this workspace, and no other account.
fn its_own(workspace: WorkspaceId, user: UserId) -> Condition {
    Condition::all()
        .add(account::Column::Id.eq(user))
        .add(account::Column::HomeWorkspaceId.eq(workspace))
}

/// Deletes one with its tokens and its membership; its container stops, and stays until an admin deletes it.
///
/// # Errors
/// 404, 403.
pub async fn delete(ctx: &Ctx, workspace: WorkspaceId, user: UserId) -> Result<(), Problem> {
    let grant = ctx.authorize::<ServiceAccountsManage>(workspace).await?;
    let known = one(ctx, &grant, user).await?;
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    let gone = tx
        .delete_where::<account::Entity>(its_own(workspace, user))
        .await?;
    if gone == 0 {
        return Err(Problem::not_found());
    }
    let entry = audit::entry(ctx, Action::ServiceAccountDelete, user, known.name);
    tx.commit_in(grant.organization(), workspace, entry).await?;
    members::announce_end(&ctx.services, workspace, user);
    Ok(())
}

/// The tokens of one.
///
/// # Errors
/// 404, 403.
pub async fn tokens(
    ctx: &Ctx,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Page<Token>, Problem> {
    let grant = ctx.authorize::<ServiceAccountsRead>(workspace).await?;
    one(ctx, &grant, user).await?;
    Ok(Page::whole(ops::of(&ctx.services, user).await?))
}

/// Makes a token for one.
///
/// # Errors
/// 404, 403; `reauthentication_required`; `unprocessable`; `conflict` when there are too many.
pub async fn create_token(
    ctx: &Ctx,
    workspace: WorkspaceId,
    user: UserId,
    wanted: TokenRequest,
) -> Result<NewToken, Problem> {
    let grant = ctx.authorize::<ServiceAccountsManage>(workspace).await?;
    one(ctx, &grant, user).await?;
    wanted.check()?;
    ctx.require_fresh()?;
    let (value, hash) = ops::mint(&ctx.services).await?;
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    members::still(&tx, &grant).await?;
    let token = ops::insert(&tx, &ctx.services, user, wanted, hash).await?;
    let detail = format!("of {user}: {}", ops::words(&token));
    let entry = audit::entry(ctx, Action::TokenCreate, token.id, detail);
    tx.commit_in(grant.organization(), workspace, entry).await?;
    Ok(NewToken { value, token })
}

/// Revokes a token of one.
///
/// # Errors
/// 404, 403.
pub async fn revoke_token(
    ctx: &Ctx,
    workspace: WorkspaceId,
    user: UserId,
    id: TokenId,
) -> Result<(), Problem> {
    let grant = ctx.authorize::<ServiceAccountsManage>(workspace).await?;
    one(ctx, &grant, user).await?;
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    ops::delete(&tx, user, id).await?;
    let entry = audit::entry(ctx, Action::TokenRevoke, id, format!("of {user}"));
    tx.commit_in(grant.organization(), workspace, entry).await?;
    ops::ended(&ctx.services, user, id);
    Ok(())
}
