//! Layer 3: what every page and API handler shares: who asks, CSRF, cookies, CSP, problems as HTML or JSON, assets.
//!
//! What always holds: a handler that takes [`Ctx`](crate::context::Ctx), [`PageCtx`], [`PageForm`] or
//! [`PageMultipart`] runs only for a recognised person, and an unsafe method from a browser only with the
//! session's CSRF token, and each request was counted before it ([`admission`]). Must not import features.

pub mod admission;
pub mod assets;
mod body;
mod chrome;
mod cookies;
mod extract;
mod forms;
pub mod middleware;
pub mod names;
mod passing;
mod problem;
mod schema;
pub mod time;

pub use body::{Json, Path, Query};
pub use chrome::{Chrome, UserChip, WorkspaceChip, html};
pub use cookies::{clear_session_cookie, session_cookie, session_value};
pub use extract::{Anonymous, PageCtx, Peer, PendingSecondFactor};
pub use forms::{AnonymousForm, FieldError, PageForm, PageMultipart, PendingForm, field_text};
pub use middleware::{Nonce, RequestId};
pub use passing::{cut_when, without_pauses};
