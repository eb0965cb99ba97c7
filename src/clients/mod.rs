//! Layer 1: everything outside of this process that is not the database or the vault.
//!
//! Must not import features, web or authz.

pub mod agent;
pub mod api;
pub mod cluster;
pub mod http;
pub mod launcher;
pub mod mail;
pub mod named;
pub mod objects;
pub mod ranges;
pub mod redis;
