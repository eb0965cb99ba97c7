//! Local accounts: the first owner, sign-in, the second factor, sessions, tokens.
//!
//! What always holds: a set-up link, a time step of the second factor and a session's stage are each used up in the
//! transaction that accepts them; passwords are hashed with argon2id on a blocking thread, and a sign-in takes as
//! long for an unknown address as for a known one.

mod account_pages;
mod admin;
mod api;
mod change_password;
mod guesses;
mod invitation_pages;
mod pages;
mod password;
mod rewrap;
mod second_factor;
mod sessions;
mod setup;
mod setup_code;
mod sign_in;
mod sweep;

pub use admin::{Addition, CreatedOwner, add_member, create_owner, create_token};
pub use pages::pages;
pub use rewrap::{replace_totp_seeds, totp_seeds};
pub use setup::sign_in_address;
pub use sweep::jobs;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::context::Services;

/// The API of this feature.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(api::me))
        .routes(routes!(api::list_sessions))
        .routes(routes!(api::end_session))
        .routes(routes!(api::end_other_sessions))
}
