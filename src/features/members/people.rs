//! Members: who they are, what they may do, and how that ends.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::ended;
use super::invitations;
use super::model::Member;
use super::rules::{Change, needs_presence};
use crate::authz::accounts::account;
use crate::authz::membership;
use crate::authz::permission::{MembersLeave, MembersManage, MembersRead, OwnersManage};
use crate::authz::{Credential, PermissionId, Role};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::features::secrets;
use crate::kernel::{Code, InvitationId, Page, Problem, UserId, WorkspaceId};
use crate::store::{Entries, Grant, Permission, ScopedRead, StoreError, SystemPurpose};

/// All members, owners first, then by name. Addresses are shown to those who manage members.
///
/// # Errors
/// 404, 403.
pub async fn list(ctx: &Ctx, workspace: WorkspaceId) -> Result<Page<Member>, Problem> {
    let grant = ctx.authorize::<MembersRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let rows = tx.find::<membership::Entity>().all().await?;
    drop(tx);
    let people = accounts(&ctx.services, rows.iter().map(|row| row.account_id)).await?;
    let sees_addresses = grant.role().allows(PermissionId::MembersManage);
    let mut members = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(person) = people.iter().find(|person| person.id == row.account_id) else {
            continue;
        };
        let Ok(role) = row.role.parse() else { continue };
        let own = row.account_id == ctx.actor.user();
        members.push(Member {
            id: row.account_id,
            name: person.name.clone(),
            email: person.email.clone().filter(|_| sees_addresses || own),
            service: person.kind == "service",
            role,
            you: own,
            since_ms: row.created_at_ms,
        });
    }
    let rank = |role| Role::ALL.iter().position(|known| *known == role);
    members.sort_by_key(|member| (rank(member.role), member.name.to_lowercase(), member.id));
    Ok(Page::whole(members))
}

/// One member.
///
/// # Errors
/// 404, 403.
pub async fn get(ctx: &Ctx, workspace: WorkspaceId, user: UserId) -> Result<Member, Problem> {
    let members = list(ctx, workspace).await?.items;
    members
        .into_iter()
        .find(|member| member.id == user)
        .ok_or_else(Problem::not_found)
}

/// Gives a member another role.
///
/// # Errors
/// 404; 403; `conflict` for the last owner; `reauthentication_required`.
pub async fn set_role(
    ctx: &Ctx,
    workspace: WorkspaceId,
    user: UserId,
    role: Role,
) -> Result<Member, Problem> {
    let grant = ctx.authorize::<MembersManage>(workspace).await?;
    change(ctx, grant, user, Some(role)).await?;
    get(ctx, workspace, user).await
}

/// Ends somebody's membership; their container stops and stays, for an admin to delete.
///
/// # Errors
/// 404; 403; `conflict` for the last owner and for service accounts; `reauthentication_required`.
pub async fn remove(ctx: &Ctx, workspace: WorkspaceId, user: UserId) -> Result<(), Problem> {
    let grant = ctx.authorize::<MembersManage>(workspace).await?;
    change(ctx, grant, user, None).await
}

/// Ends one's own membership.
///
/// # Errors
/// 404; `conflict` for the last owner.
pub async fn leave(ctx: &Ctx, workspace: WorkspaceId) -> Result<(), Problem> {
    let grant = ctx.authorize::<MembersLeave>(workspace).await?;
    let user = grant.user();
    change(ctx, grant, user, None).await
}

/// Hands the workspace over: `to` becomes an owner, the caller an admin.
///
/// # Errors
/// 404 when `to` is no member; 403; `reauthentication_required`.
pub async fn transfer(ctx: &Ctx, workspace: WorkspaceId, to: UserId) -> Result<(), Problem> {
    let grant = ctx.authorize::<OwnersManage>(workspace).await?;
    if to == grant.user() {
        return Err(Problem::new(
            Code::Unprocessable,
            "to: this is you. Name the member who takes the workspace over.",
        ));
    }
    // Before the transaction, which must not wait for a second connection.
    let service = is_service(&ctx.services, to).await?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let rows = locked(&tx).await?;
    let theirs = find(&rows, to)?;
    ctx.require_fresh()?;
    if service {
        return Err(Problem::new(
            Code::Unprocessable,
            "to: a service account cannot be an owner. Name a person.",
        ));
    }
    let mine = find(&rows, grant.user())?;
    if mine.role != Role::Owner.as_str() {
        return Err(StoreError::Absent.into());
    }
    for (account_id, role) in [(to, Role::Owner), (grant.user(), Role::Admin)] {
        tx.update(membership::ActiveModel {
            workspace_id: Set(workspace),
            account_id: Set(account_id),
            role: Set(role.as_str().to_owned()),
            ..Default::default()
        })
        .await?;
    }
    let taken_back = invitations::take_back_of(&tx, grant.user(), Some(Role::Admin)).await?;
    let detail = format!("{} became owner, {} admin", to, grant.user());
    let was = format!("{} → owner", theirs.role);
    let entries = Entries::from(audit::entry(
        ctx,
        Action::OwnershipTransfer,
        workspace,
        detail,
    ))
    .and(audit::entry(ctx, Action::MemberRole, to, was))
    .and(audit::entry(
        ctx,
        Action::MemberRole,
        grant.user(),
        "owner → admin",
    ));
    let entries = and_taken_back(ctx, entries, taken_back);
    tx.commit(entries).await?;
    for user in [to, grant.user()] {
        ended::announce(&ctx.services, workspace, user);
    }
    Ok(())
}

/// But for [`transfer`], the one place where a membership changes or ends. All rows are locked in the order of their key, so that of two who
/// would each leave the other as last owner, the second sees what the first did.
async fn change<P: Permission>(
    ctx: &Ctx,
    grant: Grant<P>,
    user: UserId,
    to: Option<Role>,
) -> Result<(), Problem> {
    let workspace = grant.workspace();
    let own = user == grant.user();
    let service = is_service(&ctx.services, user).await?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let rows = locked(&tx).await?;
    let row = find(&rows, user)?;
    // As it is now: the grant was minted a moment earlier.
    let by = role_in(&find(&rows, grant.user())?)?;
    let change = Change {
        by,
        own,
        from: role_in(&row)?,
        to,
        service,
        owners: rows
            .iter()
            .filter(|row| row.role == Role::Owner.as_str())
            .count(),
    };
    if service && to.is_none() {
        return Err(Problem::new(
            Code::Conflict,
            "This is a service account. Delete it among the service accounts; its tokens end with it.",
        ));
    }
    change.check()?;
    let leaves = own && to.is_none();
    // Who may be an owner or an admin is decided by somebody who is there; the rest a token with its scope may do, too.
    let by_token = matches!(ctx.actor.credential(), Credential::Token(..));
    let present = change.touches_owners() || to.is_some_and(needs_presence);
    if (present || !by_token) && !leaves {
        ctx.require_fresh()?;
    }
    let (action, detail) = match to {
        Some(to) if to == change.from => return Ok(()),
        Some(to) => {
            tx.update(membership::ActiveModel {
                workspace_id: Set(workspace),
                account_id: Set(user),
                role: Set(to.as_str().to_owned()),
                ..Default::default()
            })
            .await?;
            let detail = format!("{} → {}", change.from.as_str(), to.as_str());
            (Action::MemberRole, detail)
        }
        None => {
            tx.delete_many::<membership::Entity>()
                .filter(membership::Column::AccountId.eq(user))
                .exec()
                .await?;
            let action = if leaves {
                Action::MemberLeave
            } else {
                Action::MemberRemove
            };
            (action, format!("was {}", change.from.as_str()))
        }
    };
    let of_their_own = match to {
        Some(_) => None,
        None => secrets::delete_with_member(ctx, &tx, user).await?,
    };
    // Else a link that they made for themselves would undo this.
    let taken_back = invitations::take_back_of(&tx, user, to).await?;
    let mut entries = Entries::from(audit::entry(ctx, action, user, detail));
    if let Some(of_their_own) = of_their_own {
        entries = entries.and(of_their_own);
    }
    tx.commit(and_taken_back(ctx, entries, taken_back)).await?;
    ended::announce(&ctx.services, workspace, user);
    Ok(())
}

fn and_taken_back(ctx: &Ctx, entries: Entries, gone: Vec<InvitationId>) -> Entries {
    gone.into_iter().fold(entries, |entries, id| {
        let detail = "its inviter may not invite so any more";
        entries.and(audit::entry(ctx, Action::InvitationRevoke, id, detail))
    })
}

async fn locked(tx: &ScopedRead) -> Result<Vec<membership::Model>, StoreError> {
    tx.find::<membership::Entity>()
        .order_by(membership::Column::AccountId, sea_orm::Order::Asc)
        .for_update()
        .all()
        .await
}

fn find(rows: &[membership::Model], user: UserId) -> Result<membership::Model, Problem> {
    rows.iter()
        .find(|row| row.account_id == user)
        .cloned()
        .ok_or_else(Problem::not_found)
}

fn role_in(row: &membership::Model) -> Result<Role, Problem> {
    row.role.parse().map_err(Problem::internal)
}

/// Whether an account is a service account; whether it is a member here is for the caller to find out.
async fn is_service(services: &Services, user: UserId) -> Result<bool, StoreError> {
    let found = accounts(services, std::iter::once(user)).await?;
    Ok(found.first().is_some_and(|row| row.kind == "service"))
}

/// The accounts of these members.
pub(super) async fn accounts(
    services: &Services,
    users: impl Iterator<Item = UserId>,
) -> Result<Vec<account::Model>, StoreError> {
    let wanted: std::collections::BTreeSet<UserId> = users.collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let tx = services.store.system(SystemPurpose::Memberships).await?;
    tx.all(account::Entity::find().filter(account::Column::Id.is_in(wanted)))
        .await
}
