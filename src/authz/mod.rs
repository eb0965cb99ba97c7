//! Layer 2: who may do what. The only place that can mint a [`Grant`](crate::store::Grant).
//!
//! What always holds: a grant is minted from a membership that was read in the same request, and the table in
//! [`permission`] is the only source of what a role may do.

pub mod accounts;
mod actor;
mod authorize;
pub mod membership;
pub mod permission;
mod recognize;
mod role;

pub use actor::{Actor, ActorKind, Credential};
pub use authorize::{AuthzError, authorize, authorize_organization, authorize_user_now};
pub use permission::{PermissionId, Scope};
pub use recognize::{
    Credentials, RecognizeError, Recognized, SessionLimits, TOKEN_PREFIX, new_session_value,
    new_token,
};
pub use role::Role;

/// The key to [`Grant::mint`](crate::store::Grant::mint): its field is private to this module.
pub struct MintKey(());
