//! A workspace for unit tests that need a row to refer to.

use sea_orm::ActiveValue::Set;

use super::{organization, workspace};
use crate::authz::Role;
use crate::authz::accounts::account;
use crate::authz::membership;
use crate::kernel::{Clock, OrganizationId, Rng, UserId, WorkspaceId};
use crate::store::{Store, SystemPurpose, Unaudited, ledger};

/// A workspace with one member.
pub struct Place {
    /// Its organization.
    pub organization: OrganizationId,
    /// Itself.
    pub workspace: WorkspaceId,
    /// Its one member.
    pub user: UserId,
}

/// Writes an organization, a workspace, an account and its membership.
pub async fn place(store: &Store, role: Role) -> Place {
    let (clock, rng) = (Clock::system(), Rng);
    let place = Place {
        organization: OrganizationId::new(&clock, &rng),
        workspace: WorkspaceId::new(&clock, &rng),
        user: UserId::new(&clock, &rng),
    };
    let tx = store.system(SystemPurpose::Setup).await.unwrap();
    tx.insert(organization::ActiveModel {
        id: Set(place.organization),
        name: Set("o".into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.insert(ledger::head::ActiveModel {
        organization_id: Set(place.organization),
        seq: Set(0),
        mac: Set(ledger::GENESIS.to_vec()),
    })
    .await
    .unwrap();
    tx.insert(workspace::ActiveModel {
        id: Set(place.workspace),
        organization_id: Set(place.organization),
        name: Set("w".into()),
        wrapped_key: Set(vec![1]),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    let email = format!("{}@example.com", place.user);
    tx.insert(account::ActiveModel::person(
        place.user,
        email,
        "a",
        String::new(),
        1,
    ))
    .await
    .unwrap();
    tx.insert(membership::ActiveModel {
        workspace_id: Set(place.workspace),
        account_id: Set(place.user),
        organization_id: Set(place.organization),
        role: Set(role.as_str().into()),
        created_at_ms: Set(1),
    })
    .await
    .unwrap();
    tx.commit_unaudited(Unaudited::Housekeeping).await.unwrap();
    place
}
