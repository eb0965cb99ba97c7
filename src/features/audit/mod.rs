//! The audit log: who did what to which object, written in the same transaction as the act. Never values.
//!
//! What always holds: a writing transaction of `store` cannot be committed without an entry or a listed reason, so an
//! act that nobody recorded does not compile.

mod action;
mod lately;

mod anchor;
mod api;
mod filter;
mod model;
mod ops;
mod pages;
mod sinks;
mod verify;

pub use action::Action;
pub use anchor::flush;
pub use lately::Lately;
pub use pages::pages;
pub use sinks::{SinkSecret, replace_sink_secrets, sink_secrets};
pub use verify::{Finding, Report, VerifyError, verify};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::authz::membership::{self, organization_owner};
use crate::authz::{Actor, Credential};
use crate::context::{Ctx, Services};
use crate::kernel::{AuditEventId, OrganizationId, Problem, UserId};
use crate::store::{Entry, Grant, Permission, StoreError, SystemTx};

/// Starts what carries entries on: to the vault's anchors and to sinks, until the server stops.
pub fn start(services: &Services) {
    anchor::start(services);
    sinks::start(services);
}

/// The API of this feature.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::workspace))
        .routes(routes!(api::export_workspace))
        .routes(routes!(api::organization))
        .routes(routes!(api::export_organization))
        .routes(routes!(sinks::api::list, sinks::api::create))
        .routes(routes!(
            sinks::api::get,
            sinks::api::change,
            sinks::api::delete
        ))
        .routes(routes!(sinks::api::test))
        .layer(axum::Extension(Lately::default()))
}

/// Longest text of an entry's fields, in characters; what is longer is cut.
const LONGEST: usize = 500;

/// An entry of a signed-in actor. `object` is an id or a name, `detail` a few words without values.
pub fn entry(ctx: &Ctx, action: Action, object: impl ToString, detail: impl Into<String>) -> Entry {
    Entry {
        actor: Some(ctx.actor.user()),
        credential: credential(&ctx.actor),
        address: ctx.actor.address().to_owned(),
        request_id: ctx.request_id.clone(),
        ..by_server(&ctx.services, action, object, detail)
    }
}

/// An entry about an account by somebody who is not signed in (yet).
pub fn by_stranger(
    services: &Services,
    from: Stranger<'_>,
    account: UserId,
    action: Action,
    object: impl ToString,
    detail: impl Into<String>,
) -> Entry {
    Entry {
        actor: Some(account),
        credential: "none".to_owned(),
        address: from.address.to_owned(),
        request_id: from.request_id.to_owned(),
        ..by_server(services, action, object, detail)
    }
}

/// Where a request of nobody in particular came from.
#[derive(Clone, Copy)]
pub struct Stranger<'a> {
    /// Network address.
    pub address: &'a str,
    /// The request's id.
    pub request_id: &'a str,
}

/// An entry of a command on the server's machine.
pub fn by_host(
    services: &Services,
    action: Action,
    object: impl ToString,
    detail: impl Into<String>,
) -> Entry {
    Entry {
        credential: "host".to_owned(),
        ..by_server(services, action, object, detail)
    }
}

/// An entry of the server's own doing.
pub fn by_server(
    services: &Services,
    action: Action,
    object: impl ToString,
    detail: impl Into<String>,
) -> Entry {
    Entry {
        id: AuditEventId::new(&services.clock, &services.rng),
        at_ms: services.clock.now_ms(),
        actor: None,
        credential: "server".to_owned(),
        address: String::new(),
        request_id: String::new(),
        action: action.as_str(),
        object: cut(object.to_string()),
        detail: cut(detail.into()),
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Records an access that changes nothing else, before it is given.
///
/// # Errors
/// When the entry cannot be written: then nothing may be given.
pub async fn note<P: Permission>(
    ctx: &Ctx,
    grant: &Grant<P>,
    action: Action,
    object: impl ToString,
    detail: impl Into<String>,
) -> Result<(), Problem> {
    let entry = entry(ctx, action, object, detail);
    Ok(ctx
        .services
        .store
        .scoped(grant)
        .await?
        .commit(entry)
        .await?)
}

/// The organizations in whose logs acts on an account are told: where it is a member of a workspace, or an owner.
///
/// # Errors
/// [`StoreError`].
pub async fn organizations_of(
    tx: &SystemTx,
    account: UserId,
) -> Result<Vec<OrganizationId>, StoreError> {
    let memberships = membership::Entity::find().filter(membership::Column::AccountId.eq(account));
    let owned = organization_owner::Entity::find()
        .filter(organization_owner::Column::AccountId.eq(account));
    let mut found: Vec<OrganizationId> = tx
        .all(memberships)
        .await?
        .into_iter()
        .map(|row| row.organization_id)
        .collect();
    found.extend(
        tx.all(owned)
            .await?
            .into_iter()
            .map(|row| row.organization_id),
    );
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn credential(actor: &Actor) -> String {
    match actor.credential() {
        Credential::Session(id) => id.to_string(),
        Credential::Token(id, _) => id.to_string(),
    }
}
