//! Invitations: a link, good once and for a while, that makes whoever holds it a member under the invited address.
//!
//! What always holds: the row decides who used a link, in the transaction that adds the member; only a keyed hash of
//! the link is stored; an account is never joined by its address alone, but by the link and its own sign-in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter};

use super::model::{Invitation, InvitationLink, invitation, organization, workspace};
use super::ops::{email_complaint, normal_email};
use super::rules::{may_invite, needs_presence};
use super::{mail, people, standing};
use crate::authz::permission::{MembersManage, MembersRead};
use crate::authz::{PermissionId, Role, membership};
use crate::context::{Ctx, Services};
use crate::features::audit::{self, Action};
use crate::kernel::{Code, InvitationId, Page, Problem, UserId, WorkspaceId};
use crate::shared::Subject;
use crate::store::{Entry, ScopedTx, StoreError, SystemPurpose, SystemTx};
use crate::vault::MacPurpose;

/// Open invitations of one workspace.
const MOST: u64 = 500;

/// Open invitations, newest first.
///
/// # Errors
/// 404; 403 for those who do not manage members: the list holds addresses.
pub async fn list(ctx: &Ctx, workspace: WorkspaceId) -> Result<Page<Invitation>, Problem> {
    let grant = ctx.authorize::<MembersRead>(workspace).await?;
    if !grant.role().allows(PermissionId::MembersManage) {
        ctx.authorize::<MembersManage>(workspace).await?;
    }
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let rows = tx
        .find::<invitation::Entity>()
        .filter(invitation::Column::AcceptedAtMs.is_null())
        .order_by(invitation::Column::Id, sea_orm::Order::Desc)
        .all()
        .await?;
    drop(tx);
    let now = ctx.now_ms();
    Ok(Page::whole(
        rows.into_iter().map(|row| view(row, now)).collect(),
    ))
}

fn view(row: invitation::Model, now_ms: i64) -> Invitation {
    Invitation {
        id: row.id,
        email: row.email,
        role: row.role.parse().unwrap_or(Role::Viewer),
        invited_by: row.invited_by,
        created_at_ms: row.created_at_ms,
        expires_at_ms: row.expires_at_ms,
        expired: row.expires_at_ms <= now_ms,
    }
}

/// Invites an address. An earlier invitation of the same address ends: only the last link works.
///
/// # Errors
/// `unprocessable` for the address; `conflict` when they are a member already, or there are too many invitations; 403;
/// `reauthentication_required` for owners and admins, always so for tokens.
pub async fn create(
    ctx: &Ctx,
    workspace: WorkspaceId,
    email: &str,
    role: Role,
) -> Result<InvitationLink, Problem> {
    let grant = ctx.authorize::<MembersManage>(workspace).await?;
    if let Some(message) = email_complaint(email) {
        return Err(Problem::new(
            Code::Unprocessable,
            format!("email: {message}"),
        ));
    }
    reaches(grant.role(), role)?;
    if needs_presence(role) {
        ctx.require_fresh()?;
    }
    let email = normal_email(email);
    let members = {
        let tx = ctx.services.store.scoped_read(&grant).await?;
        tx.find::<membership::Entity>().all().await?
    };
    let accounts = people::accounts(&ctx.services, members.iter().map(|row| row.account_id));
    if accounts
        .await?
        .iter()
        .any(|person| person.email.as_ref() == Some(&email))
    {
        return Err(Problem::new(
            Code::Conflict,
            format!("{email} is a member already. Change the role in the list of members."),
        ));
    }
    let (link, hash) = new_link(&ctx.services).await?;
    let now = ctx.now_ms();
    let days = i64::from(ctx.services.config.mail.invitation_days);
    let row = invitation::ActiveModel {
        workspace_id: Set(workspace),
        id: Set(InvitationId::new(&ctx.services.clock, &ctx.services.rng)),
        email: Set(email.clone()),
        role: Set(role.as_str().to_owned()),
        token_hash: Set(hash),
        invited_by: Set(ctx.actor.user()),
        created_at_ms: Set(now),
        expires_at_ms: Set(now + days * 86_400_000),
        accepted_at_ms: Set(None),
        accepted_by: Set(None),
    };
    let tx = ctx.services.store.scoped(&grant).await?;
    reaches(standing::now(&tx, &grant).await?, role)?;
    tx.delete_many::<invitation::Entity>()
        .filter(
            Condition::any()
                .add(invitation::Column::Email.eq(email))
                .add(invitation::Column::ExpiresAtMs.lte(now)),
        )
        .exec()
        .await?;
    let open = tx
        .find::<invitation::Entity>()
        .filter(invitation::Column::AcceptedAtMs.is_null());
    if open.count().await? >= MOST {
        return Err(Problem::new(
            Code::Conflict,
            format!(
                "The workspace has {MOST} open invitations, which is the most it can have. Take some back."
            ),
        ));
    }
    let row = tx.insert(row).await.map_err(|error| match error {
        StoreError::Duplicate => Problem::new(
            Code::Conflict,
            "Somebody else invited this address just now. Look at the list.",
        ),
        other => other.into(),
    })?;
    let entry = audit::entry(ctx, Action::InvitationCreate, row.id, role.as_str());
    let place = tx.find::<workspace::Entity>().one().await?;
    tx.commit(entry).await?;
    let place = place.map(|row| row.name).unwrap_or_default();
    Ok(deliver(ctx, view(row, now), &place, link).await)
}

fn reaches(by: Role, role: Role) -> Result<(), Problem> {
    if may_invite(by, role) {
        return Ok(());
    }
    Err(Problem::new(
        Code::Forbidden,
        "Only an owner of the workspace invites owners. Choose another role, or ask one of them.",
    ))
}

/// Takes back the open invitations of `inviter` that they may not make with the role `now`, none for no membership, and
/// says which. Part of the change that gives them that role.
pub(super) async fn take_back_of(
    tx: &ScopedTx,
    inviter: UserId,
    now: Option<Role>,
) -> Result<Vec<InvitationId>, StoreError> {
    let rows = tx
        .find::<invitation::Entity>()
        .filter(invitation::Column::InvitedBy.eq(inviter))
        .filter(invitation::Column::AcceptedAtMs.is_null())
        .order_by(invitation::Column::Id, sea_orm::Order::Asc)
        .for_update()
        .all()
        .await?;
    let stays = |row: &invitation::Model| {
        let role: Result<Role, _> = row.role.parse();
        now.zip(role.ok())
            .is_some_and(|(by, role)| may_invite(by, role))
    };
    let gone: Vec<InvitationId> = rows
        .iter()
        .filter(|row| !stays(row))
        .map(|row| row.id)
        .collect();
    if !gone.is_empty() {
        tx.delete_many::<invitation::Entity>()
            .filter(invitation::Column::Id.is_in(gone.iter().copied()))
            .exec()
            .await?;
    }
    Ok(gone)
}

/// Sends the link, or shows it to the inviter when it could not be sent.
async fn deliver(ctx: &Ctx, invitation: Invitation, place: &str, link: String) -> InvitationLink {
    match mail::invite(ctx, &invitation, place, &link).await {
        mail::Sent::Yes => InvitationLink {
            invitation,
            sent: true,
            link: None,
            notice: None,
        },
        mail::Sent::NotConfigured => InvitationLink {
            invitation,
            sent: false,
            link: Some(link),
            notice: None,
        },
        mail::Sent::Failed(why) => InvitationLink {
            invitation,
            sent: false,
            link: Some(link),
            notice: Some(why),
        },
    }
}

/// A new link in place of the old one, which ends.
///
/// # Errors
/// 404, 403; as [`create`] else.
pub async fn resend(
    ctx: &Ctx,
    workspace: WorkspaceId,
    id: InvitationId,
) -> Result<InvitationLink, Problem> {
    let grant = ctx.authorize::<MembersManage>(workspace).await?;
    let row = {
        let tx = ctx.services.store.scoped_read(&grant).await?;
        open(&tx.find::<invitation::Entity>().all().await?, id)?
    };
    create(
        ctx,
        workspace,
        &row.email,
        row.role.parse().map_err(Problem::internal)?,
    )
    .await
}

fn open(rows: &[invitation::Model], id: InvitationId) -> Result<invitation::Model, Problem> {
    rows.iter()
        .find(|row| row.id == id && row.accepted_at_ms.is_none())
        .cloned()
        .ok_or_else(Problem::not_found)
}

/// Takes an invitation back; its link opens nothing any more.
///
/// # Errors
/// 404 when there is no such open invitation; 403.
pub async fn revoke(ctx: &Ctx, workspace: WorkspaceId, id: InvitationId) -> Result<(), Problem> {
    let grant = ctx.authorize::<MembersManage>(workspace).await?;
    let tx = ctx.services.store.scoped(&grant).await?;
    let gone = tx
        .delete_many::<invitation::Entity>()
        .filter(invitation::Column::Id.eq(id))
        .filter(invitation::Column::AcceptedAtMs.is_null())
        .exec()
        .await?;
    if gone == 0 {
        return Err(Problem::not_found());
    }
    let entry = audit::entry(ctx, Action::InvitationRevoke, id, "");
    Ok(tx.commit(entry).await?)
}

async fn new_link(services: &Services) -> Result<(String, Vec<u8>), Problem> {
    let token = URL_SAFE_NO_PAD.encode(services.rng.bytes::<32>());
    let hash = hash(services, &token).await?;
    Ok((format!("{}/invitations/{token}", services.public_url), hash))
}

async fn hash(services: &Services, token: &str) -> Result<Vec<u8>, Problem> {
    let mac = services
        .vault
        .mac(MacPurpose::Invitation, token.as_bytes())
        .await?;
    Ok(mac.to_vec())
}

/// An invitation as whoever holds its link sees it.
pub struct Shown {
    /// The invited address.
    pub email: String,
    /// What they are to be.
    pub role: Role,
    /// The workspace's name.
    pub workspace: String,
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The organization's name.
    pub organization: String,
    row: invitation::Model,
    organization_id: crate::kernel::OrganizationId,
}

fn over() -> Problem {
    Problem::new(
        Code::NotFound,
        "This invitation was used or taken back, or has ended. Ask whoever invited you for a new one.",
    )
}

/// The open invitation that this link is for.
///
/// # Errors
/// 404 when there is none (any more).
pub async fn by_link(services: &Services, token: &str) -> Result<Shown, Problem> {
    if token.len() != 43 {
        return Err(over());
    }
    let hash = hash(services, token).await?;
    let tx = services.store.system(SystemPurpose::SignInRead).await?;
    let row = tx
        .one(invitation::Entity::find().filter(invitation::Column::TokenHash.eq(hash)))
        .await?
        .filter(|row| row.accepted_at_ms.is_none() && row.expires_at_ms > services.clock.now_ms())
        .ok_or_else(over)?;
    let place = tx
        .one(workspace::Entity::find_by_id(row.workspace_id))
        .await?
        .ok_or_else(over)?;
    let customer = tx
        .one(organization::Entity::find_by_id(place.organization_id))
        .await?
        .ok_or_else(over)?;
    Ok(Shown {
        email: row.email.clone(),
        role: row.role.parse().map_err(Problem::internal)?,
        workspace: place.name,
        workspace_id: place.id,
        organization: customer.name,
        organization_id: customer.id,
        row,
    })
}

/// Uses the invitation up and adds `account` as a member, in `tx`, which the caller has begun for what goes with it and
/// which ends here. `entry` makes the entries of the invitation, `also` are those of what goes with it.
///
/// # Errors
/// 404 when somebody was faster, it was taken back, or its inviter may not invite so any more; `conflict` when the account is a member already.
pub async fn redeem(
    services: &Services,
    tx: SystemTx,
    shown: &Shown,
    account: UserId,
    entry: impl Fn(Action, String) -> Entry,
    also: Vec<Entry>,
) -> Result<(), Problem> {
    let now = services.clock.now_ms();
    // Before the invitation's row, as whoever changes a membership does: locks are taken in one order.
    let (place, inviter) = (shown.workspace_id, shown.row.invited_by);
    if !standing::stands(&tx, place, inviter, shown.role).await? {
        return Err(over());
    }
    let unused = Condition::all()
        .add(invitation::Column::WorkspaceId.eq(shown.row.workspace_id))
        .add(invitation::Column::Id.eq(shown.row.id))
        .add(invitation::Column::TokenHash.eq(shown.row.token_hash.clone()))
        .add(invitation::Column::AcceptedAtMs.is_null())
        .add(invitation::Column::ExpiresAtMs.gt(now));
    let used = invitation::ActiveModel {
        accepted_at_ms: Set(Some(now)),
        accepted_by: Set(Some(account)),
        ..Default::default()
    };
    if tx.update_where::<invitation::Entity>(unused, used).await? != 1 {
        return Err(over());
    }
    super::add_member(
        &tx,
        services,
        shown.organization_id,
        shown.workspace_id,
        account,
        shown.role,
    )
    .await
    .map_err(|error| match error {
        StoreError::Duplicate => Problem::new(
            Code::Conflict,
            "You are a member of this workspace already.",
        ),
        other => other.into(),
    })?;
    let mut entries =
        crate::store::Entries::from(entry(Action::InvitationAccept, shown.row.id.to_string()))
            .and(entry(Action::MemberAdd, account.to_string()));
    for one in also {
        entries = entries.and(one);
    }
    tx.commit_in(shown.organization_id, shown.workspace_id, entries)
        .await?;
    services.changed(Subject::Account(account));
    Ok(())
}

/// Accepts for the caller, whose address the invitation must be for.
///
/// # Errors
/// 404; `forbidden` for another address, and for service accounts.
pub async fn accept(ctx: &Ctx, token: &str) -> Result<WorkspaceId, Problem> {
    if !ctx.actor.has_scope(crate::authz::Scope::Account) {
        return Err(Problem::new(
            Code::Forbidden,
            "The token lacks the scope \"account\". Make one that has it.",
        ));
    }
    let shown = by_link(&ctx.services, token).await?;
    if normal_email(ctx.actor.email()) != shown.email {
        return Err(Problem::new(
            Code::Forbidden,
            "This invitation is for another address than the one you are signed in with.",
        ));
    }
    let tx = ctx
        .services
        .store
        .system(SystemPurpose::SignInWrite)
        .await?;
    let entry = |action, object| audit::entry(ctx, action, object, shown.role.as_str());
    redeem(
        &ctx.services,
        tx,
        &shown,
        ctx.actor.user(),
        entry,
        Vec::new(),
    )
    .await?;
    Ok(shown.workspace_id)
}
