//! Making workspaces, and reading who belongs where.

use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::model::{Membership, OrganizationRef, organization, workspace};
use crate::authz::accounts::account;
use crate::authz::membership::{self, organization_owner};
use crate::authz::{AuthzError, Role, Scope};
use crate::context::{Ctx, Services};
use crate::kernel::{Code, OrganizationId, Problem, UserId, WorkspaceId};
use crate::store::{StoreError, SystemPurpose, SystemTx, ledger};
use crate::web::WorkspaceChip;

/// A workspace about to be made.
pub struct NewWorkspace {
    /// Its id.
    pub id: WorkspaceId,
}

impl NewWorkspace {
    /// One with a new id.
    pub fn new(services: &Services) -> Self {
        Self {
            id: WorkspaceId::new(&services.clock, &services.rng),
        }
    }

    /// Inserts the row. The vault makes its key in the transaction, so that a rotation of the master finds it.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unsealed`] when the vault does not answer.
    pub(super) async fn insert(
        self,
        tx: &SystemTx,
        services: &Services,
        organization: OrganizationId,
        name: &str,
    ) -> Result<workspace::Model, StoreError> {
        tx.hold_root().await?;
        let key = services.vault.new_workspace_key(self.id.bytes()).await;
        tx.insert(workspace::ActiveModel {
            id: Set(self.id),
            organization_id: Set(organization),
            name: Set(name.to_owned()),
            wrapped_key: Set(key.map_err(StoreError::Unsealed)?.0),
            created_at_ms: Set(services.clock.now_ms()),
        })
        .await
    }
}

/// Adds an organization with its first workspace and its owner.
///
/// # Errors
/// [`StoreError`].
pub async fn create_organization(
    tx: &SystemTx,
    services: &Services,
    organization_name: &str,
    workspace_name: &str,
    new: NewWorkspace,
    owner: UserId,
) -> Result<OrganizationId, StoreError> {
    let now = services.clock.now_ms();
    let organization_id = OrganizationId::new(&services.clock, &services.rng);
    tx.insert(organization::ActiveModel {
        id: Set(organization_id),
        name: Set(organization_name.to_owned()),
        created_at_ms: Set(now),
    })
    .await?;
    let workspace_id = new.id;
    new.insert(tx, services, organization_id, workspace_name)
        .await?;
    tx.insert(ledger::head::ActiveModel {
        organization_id: Set(organization_id),
        seq: Set(0),
        mac: Set(ledger::GENESIS.to_vec()),
    })
    .await?;
    tx.insert(organization_owner::ActiveModel {
        organization_id: Set(organization_id),
        account_id: Set(owner),
        created_at_ms: Set(now),
    })
    .await?;
    add_member(
        tx,
        services,
        organization_id,
        workspace_id,
        owner,
        Role::Owner,
    )
    .await?;
    Ok(organization_id)
}

/// Why a display name is not taken.
pub fn name_complaint(name: &str) -> Option<String> {
    let length = name.trim().chars().count();
    match length {
        0 => Some("Write a name here.".to_owned()),
        1..=200 if !name.chars().any(char::is_control) => None,
        1..=200 => Some("Leave out control characters.".to_owned()),
        _ => Some(format!("At most 200 characters; these are {length}.")),
    }
}

/// # Errors
/// `unprocessable` when the name is not taken.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    match name_complaint(name) {
        None => Ok(()),
        Some(message) => Err(Problem::new(
            Code::Unprocessable,
            format!("name: {message}"),
        )),
    }
}

/// Why an address is not taken.
pub fn email_complaint(email: &str) -> Option<String> {
    let email = email.trim();
    let well_formed = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && !domain.is_empty() && !domain.contains('@') && email.len() <= 254
    }) && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    (!well_formed).then(|| {
        let shown: String = email.chars().take(80).collect();
        format!("{shown:?} is not an email address. Write it like name@example.com.")
    })
}

/// Addresses are compared in lower case.
pub fn normal_email(text: &str) -> String {
    text.trim().to_lowercase()
}

/// Adds a member.
///
/// # Errors
/// [`StoreError::Duplicate`] when the person is a member already.
pub async fn add_member(
    tx: &SystemTx,
    services: &Services,
    organization_id: OrganizationId,
    workspace_id: WorkspaceId,
    account_id: UserId,
    role: Role,
) -> Result<(), StoreError> {
    tx.insert(membership::ActiveModel {
        workspace_id: Set(workspace_id),
        account_id: Set(account_id),
        organization_id: Set(organization_id),
        role: Set(role.as_str().to_owned()),
        created_at_ms: Set(services.clock.now_ms()),
    })
    .await?;
    Ok(())
}

/// The workspaces that `user` belongs to, oldest first.
///
/// # Errors
/// [`StoreError`].
pub async fn memberships(services: &Services, user: UserId) -> Result<Vec<Membership>, StoreError> {
    let tx = services.store.system(SystemPurpose::Memberships).await?;
    let rows = tx
        .all(membership::Entity::find().filter(membership::Column::AccountId.eq(user)))
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(place) = tx
            .one(workspace::Entity::find_by_id(row.workspace_id))
            .await?
        else {
            continue;
        };
        let Some(customer) = tx
            .one(organization::Entity::find_by_id(place.organization_id))
            .await?
        else {
            continue;
        };
        let Ok(role) = row.role.parse() else { continue };
        found.push(Membership {
            id: place.id,
            name: place.name,
            role,
            organization: OrganizationRef {
                id: customer.id,
                name: customer.name,
            },
        });
    }
    found.sort_by_key(|membership| membership.id);
    Ok(found)
}

/// Lists of where somebody belongs have no workspace of which a permission could be asked: a token needs one of `scopes`.
///
/// # Errors
/// 403 for a token with none of them.
pub(super) fn reach(ctx: &Ctx, scopes: &[Scope]) -> Result<(), Problem> {
    match scopes.first() {
        Some(first) if !scopes.iter().any(|scope| ctx.actor.has_scope(*scope)) => {
            Err(AuthzError::Scope(first.as_str()).into())
        }
        _ => Ok(()),
    }
}

/// What the layout shows of the workspace.
///
/// # Errors
/// 404 when the person is no member.
pub async fn workspace_chip(ctx: &Ctx, id: WorkspaceId) -> Result<WorkspaceChip, Problem> {
    memberships(&ctx.services, ctx.actor.user())
        .await?
        .into_iter()
        .find(|membership| membership.id == id)
        .map(|membership| WorkspaceChip {
            id: membership.id.to_string(),
            name: membership.name,
            role: membership.role.as_str().to_owned(),
        })
        .ok_or_else(Problem::not_found)
}

/// Display names of accounts.
///
/// # Errors
/// [`StoreError`].
pub async fn names(
    services: &Services,
    users: impl Iterator<Item = UserId>,
) -> Result<std::collections::HashMap<UserId, String>, StoreError> {
    let wanted: std::collections::BTreeSet<UserId> = users.collect();
    if wanted.is_empty() {
        return Ok(std::collections::HashMap::new());
    }
    let tx = services.store.system(SystemPurpose::Memberships).await?;
    let rows = tx
        .all(account::Entity::find().filter(account::Column::Id.is_in(wanted)))
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Whether there is any workspace at all.
///
/// # Errors
/// [`StoreError`].
pub async fn any_workspace(services: &Services) -> Result<bool, StoreError> {
    let tx = services.store.system(SystemPurpose::Memberships).await?;
    Ok(tx.one(workspace::Entity::find()).await?.is_some())
}

/// The workspace, if there is one: for the host's administrator, who may know.
///
/// # Errors
/// [`StoreError`].
pub async fn find_workspace(
    services: &Services,
    id: WorkspaceId,
) -> Result<Option<workspace::Model>, StoreError> {
    let tx = services.store.system(SystemPurpose::Memberships).await?;
    tx.one(workspace::Entity::find_by_id(id)).await
}
