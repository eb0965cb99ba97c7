//! Organizations, workspaces, and who belongs to them.

mod api;
mod ended;
pub mod invitations;
mod mail;
mod model;
mod ops;
mod organization_pages;
mod organizations;
mod pages;
mod people;
mod permissions;
mod rewrap;
mod rules;
mod standing;
#[cfg(test)]
pub mod testing;
mod workspaces;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;

pub use ended::announce as announce_end;
pub use model::{Membership, organization, workspace};
pub use ops::{
    NewWorkspace, add_member, any_workspace, create_organization, email_complaint, find_workspace,
    memberships, name_complaint, names, normal_email, workspace_chip,
};
pub use pages::pages;
pub use permissions::permissions_markdown;
pub use rewrap::{
    change_key, key_in, key_to_change, key_to_use, replace_workspace_keys, workspace_keys,
};
pub use standing::still;

/// The API of this feature.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::list_organizations))
        .routes(routes!(api::read_organization, api::update_organization))
        .routes(routes!(
            api::list_organization_workspaces,
            api::create_workspace
        ))
        .routes(routes!(api::list_people))
        .routes(routes!(api::add_owner, api::remove_owner))
        .routes(routes!(api::list_workspaces))
        .routes(routes!(
            api::read_workspace,
            api::update_workspace,
            api::delete_workspace
        ))
        .routes(routes!(api::list_members))
        .routes(routes!(
            api::read_member,
            api::update_member,
            api::remove_member
        ))
        .routes(routes!(api::leave))
        .routes(routes!(api::transfer))
        .routes(routes!(api::list_invitations, api::create_invitation))
        .routes(routes!(api::revoke_invitation))
        .routes(routes!(api::resend_invitation))
        .routes(routes!(api::accept_invitation))
}
