//! Layer 0: values that every other layer speaks in. No I/O beyond the operating system's clock and
//! random numbers, no axum, no sea_orm.

pub mod clock;
pub mod ids;
#[cfg(debug_assertions)]
pub mod leaks;
pub mod page;
pub mod problem;
pub mod rng;
pub mod secret;
pub mod wiping;

pub use clock::Clock;
pub use ids::{
    AssistantSessionId, AuditEventId, AuditSinkId, CheckpointId, ContainerId, Id, InvitationId,
    OrganizationId, ProjectId, SecretId, SessionId, TokenId, TurnId, UserId, WorkspaceId,
};
pub use page::Page;
pub use problem::{Code, Problem};
pub use rng::Rng;
pub use secret::{Secret, SecretBytes, SecretString};
