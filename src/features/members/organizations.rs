//! Organizations: their name, their workspaces, their owners and who is in them.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::model::{
    OrganizationItem, OrganizationPerson, PlaceRef, WorkspaceItem, organization, workspace,
};
use super::ops::{self, NewWorkspace};
use super::people::accounts;
use crate::authz::membership::{self, organization_owner};
use crate::authz::{Role, authorize_organization};
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::kernel::{Code, OrganizationId, Page, Problem, UserId};
use crate::shared::Subject;
use crate::store::{Entries, OrganizationGrant, OrganizationTx, SystemPurpose};

/// Most workspaces of one organization.
const MOST: usize = 1_000;

/// Proof that the caller is an owner of `id`.
///
/// # Errors
/// 404 for foreign and absent organizations alike; 403 when the token's scopes do not reach it.
pub async fn owned(ctx: &Ctx, id: OrganizationId) -> Result<OrganizationGrant, Problem> {
    Ok(authorize_organization(&ctx.services.store, &ctx.actor, id).await?)
}

/// The organizations that the caller owns or belongs to.
///
/// # Errors
/// When the database does not answer.
pub async fn list(ctx: &Ctx) -> Result<Page<OrganizationItem>, Problem> {
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::Memberships)
        .await?;
    let mine = organization_owner::Entity::find()
        .filter(organization_owner::Column::AccountId.eq(ctx.actor.user()));
    let owned: Vec<OrganizationId> = tx
        .all(mine)
        .await?
        .into_iter()
        .map(|row| row.organization_id)
        .collect();
    let places =
        membership::Entity::find().filter(membership::Column::AccountId.eq(ctx.actor.user()));
    let mut ids: Vec<OrganizationId> = tx
        .all(places)
        .await?
        .into_iter()
        .map(|row| row.organization_id)
        .chain(owned.iter().copied())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = tx
        .all(organization::Entity::find().filter(organization::Column::Id.is_in(ids)))
        .await?;
    let item = |row: organization::Model| OrganizationItem {
        owner: owned.contains(&row.id),
        id: row.id,
        name: row.name,
    };
    Ok(Page::whole(rows.into_iter().map(item).collect()))
}

/// One organization that the caller owns.
///
/// # Errors
/// 404.
pub async fn get(ctx: &Ctx, id: OrganizationId) -> Result<OrganizationItem, Problem> {
    let grant = owned(ctx, id).await?;
    let tx = ctx.services.store.organization_read(&grant).await?;
    let row = tx
        .find::<organization::Entity>()
        .one()
        .await?
        .ok_or_else(Problem::not_found)?;
    Ok(OrganizationItem {
        id: row.id,
        name: row.name,
        owner: true,
    })
}

/// Changes the name.
///
/// # Errors
/// 404; `unprocessable` for the name.
pub async fn rename(
    ctx: &Ctx,
    id: OrganizationId,
    name: &str,
) -> Result<OrganizationItem, Problem> {
    let grant = owned(ctx, id).await?;
    ops::check_name(name)?;
    let tx = ctx.services.store.organization(&grant).await?;
    tx.update(organization::ActiveModel {
        id: Set(id),
        name: Set(name.trim().to_owned()),
        ..Default::default()
    })
    .await?;
    let entry = audit::entry(ctx, Action::OrganizationUpdate, id, "name");
    tx.commit(entry).await?;
    get(ctx, id).await
}

/// The organization's workspaces, whether or not the caller is a member there.
///
/// # Errors
/// 404.
pub async fn workspaces(ctx: &Ctx, id: OrganizationId) -> Result<Page<WorkspaceItem>, Problem> {
    let grant = owned(ctx, id).await?;
    let tx = ctx.services.store.organization_read(&grant).await?;
    let rows = tx
        .find::<workspace::Entity>()
        .order_by(workspace::Column::Id, sea_orm::Order::Asc)
        .all()
        .await?;
    Ok(Page::whole(
        rows.into_iter().map(WorkspaceItem::from).collect(),
    ))
}

/// Makes a workspace, whose owner the caller is.
///
/// # Errors
/// 404; `unprocessable` for the name; `conflict` when the organization is full.
pub async fn create_workspace(
    ctx: &Ctx,
    id: OrganizationId,
    name: &str,
) -> Result<WorkspaceItem, Problem> {
    let grant = owned(ctx, id).await?;
    ops::check_name(name)?;
    let new = NewWorkspace::new(&ctx.services);
    let there = {
        let tx = ctx.services.store.organization_read(&grant).await?;
        tx.find::<workspace::Entity>().count().await?
    };
    if there >= MOST as u64 {
        return Err(Problem::new(
            Code::Conflict,
            format!("The organization has {MOST} workspaces, which is the most it can have."),
        ));
    }
    let entry = audit::entry(ctx, Action::WorkspaceCreate, new.id, name.trim());
    // An organization's owner writes no memberships, but for this first one of a workspace that is made here.
    let tx = ctx.services.store.system(SystemPurpose::Setup).await?;
    let row = new.insert(&tx, &ctx.services, id, name.trim()).await?;
    ops::add_member(&tx, &ctx.services, id, row.id, grant.user(), Role::Owner).await?;
    tx.commit_in(id, row.id, entry).await?;
    Ok(row.into())
}

/// Everybody in the organization: members of its workspaces, and its owners.
///
/// # Errors
/// 404.
pub async fn people(ctx: &Ctx, id: OrganizationId) -> Result<Page<OrganizationPerson>, Problem> {
    let grant = owned(ctx, id).await?;
    let tx = ctx.services.store.organization_read(&grant).await?;
    let places = tx.find::<membership::Entity>().all().await?;
    let owners = tx.find::<organization_owner::Entity>().all().await?;
    drop(tx);
    let everybody = places
        .iter()
        .map(|row| row.account_id)
        .chain(owners.iter().map(|row| row.account_id));
    let mut people: Vec<OrganizationPerson> = accounts(&ctx.services, everybody)
        .await?
        .into_iter()
        .map(|person| OrganizationPerson {
            workspaces: places
                .iter()
                .filter(|row| row.account_id == person.id)
                .filter_map(|row| {
                    Some(PlaceRef {
                        id: row.workspace_id,
                        role: row.role.parse().ok()?,
                    })
                })
                .collect(),
            owner: owners.iter().any(|row| row.account_id == person.id),
            id: person.id,
            name: person.name,
            email: person.email,
            service: person.kind == "service",
        })
        .collect();
    people.sort_by_key(|person| (!person.owner, person.name.to_lowercase(), person.id));
    Ok(Page::whole(people))
}

/// Makes somebody who is in the organization an owner of it. Asking again changes nothing.
///
/// # Errors
/// 404 when they are in none of its workspaces; `unprocessable` for a service account; `reauthentication_required`.
pub async fn add_owner(ctx: &Ctx, id: OrganizationId, user: UserId) -> Result<(), Problem> {
    let grant = owned(ctx, id).await?;
    let person = accounts(&ctx.services, std::iter::once(user)).await?;
    let tx = ctx.services.store.organization(&grant).await?;
    tx.find::<membership::Entity>()
        .filter(membership::Column::AccountId.eq(user))
        .one()
        .await?
        .ok_or_else(Problem::not_found)?;
    ctx.require_fresh()?;
    if person.first().is_none_or(|row| row.kind == "service") {
        return Err(Problem::new(
            Code::Unprocessable,
            "user: a service account cannot own an organization. Name a person.",
        ));
    }
    let owners = locked_owners(&tx, &grant).await?;
    if owners.contains(&user) {
        return Ok(());
    }
    tx.insert(organization_owner::ActiveModel {
        organization_id: Set(id),
        account_id: Set(user),
        created_at_ms: Set(ctx.now_ms()),
    })
    .await?;
    let entry = audit::entry(ctx, Action::OrganizationOwnerAdd, user, "");
    Ok(tx.commit(entry).await?)
}

/// Ends somebody's ownership of the organization; their memberships stay.
///
/// # Errors
/// 404; `conflict` for the last one; `reauthentication_required`.
pub async fn remove_owner(ctx: &Ctx, id: OrganizationId, user: UserId) -> Result<(), Problem> {
    let grant = owned(ctx, id).await?;
    let tx = ctx.services.store.organization(&grant).await?;
    let owners = locked_owners(&tx, &grant).await?;
    if !owners.contains(&user) {
        return Err(Problem::not_found());
    }
    ctx.require_fresh()?;
    if owners.len() <= 1 {
        return Err(Problem::new(
            Code::Conflict,
            "An organization always has an owner, and this is the last one. Add another one first.",
        ));
    }
    tx.delete_many::<organization_owner::Entity>()
        .filter(organization_owner::Column::AccountId.eq(user))
        .exec()
        .await?;
    let entries = Entries::from(audit::entry(ctx, Action::OrganizationOwnerRemove, user, ""));
    tx.commit(entries).await?;
    ctx.services.changed(Subject::Account(user));
    Ok(())
}

/// The owners, locked in the order of their key. The caller is one of them now: the grant was minted a moment earlier, and
/// somebody may have ended their ownership meanwhile.
async fn locked_owners(
    tx: &OrganizationTx,
    grant: &OrganizationGrant,
) -> Result<Vec<UserId>, Problem> {
    let owners: Vec<UserId> = tx
        .find::<organization_owner::Entity>()
        .order_by(organization_owner::Column::AccountId, sea_orm::Order::Asc)
        .for_update()
        .all()
        .await?
        .into_iter()
        .map(|row| row.account_id)
        .collect();
    if owners.contains(&grant.user()) {
        Ok(owners)
    } else {
        Err(Problem::not_found())
    }
}
