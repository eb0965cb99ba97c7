//! Layer 4: one folder for each thing that OptiDev does. Inside: `pages | api -> ops -> store -> model`.
//!
//! A feature shows itself through its `mod.rs` only. Which feature may use which other is a table in
//! `tests/it/arch.rs`, with a reason for each edge.

pub mod ai;
pub mod audit;
pub mod broker;
pub mod containers;
pub mod credentials;
pub mod docs;
pub mod egress;
pub mod identity;
pub mod members;
pub mod projects;
pub mod secrets;
pub mod tokens;
