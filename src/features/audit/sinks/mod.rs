//! Sinks: where an organization has its log carried to, as syslog over TLS or by a webhook.
//!
//! What always holds: the log itself is the spool and a sink's `next_seq` the place in it, so nothing is skipped by an
//! outage, a restart or a kill; an entry may arrive twice, never not at all, and in its order. No secret of a sink is in
//! the database but sealed by the vault.

pub mod api;
mod carry;
pub mod model;
pub mod ops;
mod rewrap;
mod syslog;
mod webhook;

pub use carry::start;
pub use rewrap::{SinkSecret, replace_sink_secrets, sink_secrets};
