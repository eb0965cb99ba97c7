//! PostgreSQL, the scaled store: how it is reached, what a server checks before it uses it, and what
//! `optidev migrate` does.
//!
//! What always holds: the server's role changes rows and nothing else; the schema is changed by the owner's role, in
//! [`migrate`], one run at a time; a password is in no message and in no log.

mod address;
mod check;
mod connect;
mod migrate;

pub(super) use address::Address;
pub(super) use check::check;
pub(super) use connect::{one, pool};
pub(super) use migrate::migrate;
