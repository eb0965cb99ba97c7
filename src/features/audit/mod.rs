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
use crate::store::{Entries, Entry, Grant, Permission, StoreError, SystemTx};

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

/// `lead` and all `names`, in as many entries as it takes to cut none off.
pub fn in_parts(lead: &str, names: &[String], entry: impl Fn(String) -> Entry) -> Entries {
    let (mut parts, mut part) = (Vec::new(), lead.to_owned());
    for name in names {
        if part.chars().count() + 1 + name.chars().count() > LONGEST {
            parts.push(std::mem::replace(&mut part, "…".to_owned()));
        }
        if !part.is_empty() {
            part.push(' ');
        }
        part.push_str(name);
    }
    // The first one begins the list; which is the last part when there is one only.
    let last = entry(part);
    let mut parts = parts.into_iter().map(entry);
    match parts.next() {
        None => Entries::from(last),
        Some(first) => parts.fold(Entries::from(first), Entries::and).and(last),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_told_in_several_entries_and_no_name_is_cut() {
        let (clock, rng) = (crate::kernel::Clock::fixed(1), crate::kernel::Rng);
        let entry = |detail: String| Entry {
            id: AuditEventId::new(&clock, &rng),
            at_ms: 1,
            actor: None,
            credential: String::new(),
            address: String::new(),
            request_id: String::new(),
            action: Action::SecretDeliver.as_str(),
            object: String::new(),
            detail,
        };
        let told = |lead: &str, names: &[String]| -> Vec<String> {
            let entries = in_parts(lead, names, entry);
            entries.details().map(str::to_owned).collect()
        };
        assert_eq!(told("", &[]), [""]);
        assert_eq!(
            told("all:", &["A".to_owned(), "B".to_owned()]),
            ["all: A B"]
        );
        let names: Vec<String> = (0..40)
            .map(|n| format!("A_SECRET_WITH_A_LONG_NAME_{n}"))
            .collect();
        let parts = told("40:", &names);
        assert!(
            parts.len() > 1 && parts[0].starts_with("40: A_"),
            "{parts:?}"
        );
        assert!(
            parts.iter().all(|part| part.chars().count() <= LONGEST),
            "{parts:?}"
        );
        let words: Vec<&str> = parts.iter().flat_map(|part| part.split(' ')).collect();
        let words = words.into_iter().filter(|word| word.starts_with("A_"));
        assert_eq!(words.collect::<Vec<_>>(), names);
    }
}
