//! OptiDev, a self-hosted development platform in one executable. This comment is the map of its architecture.
//!
//! Layers, from the bottom; a module imports from layers below its own only (`tests/it/arch.rs` checks it):
//!
//! | layer | modules | what they are |
//! | --- | --- | --- |
//! | 0 | [`kernel`], [`config`], [`metrics`] | ids, time, randomness, secrets, problems; settings; what is counted |
//! | 1 | [`store`], [`vault`], [`redactor`], [`clients`] | the database, the two hardened processes, everything outside |
//! | 2 | [`authz`], [`shared`], [`context`] | who may do what; what replicas share; what every operation is given |
//! | 3 | [`jobs`], [`web`] | periodic work; extractors, CSRF, cookies, layout, problems as HTML or JSON |
//! | 4 | [`features`] | one folder for each thing that OptiDev does |
//! | 5 | [`app`] | puts everything together and supervises it |
//! | 6 | [`cli`] | the subcommands |

pub mod app;
pub mod authz;
pub mod cli;
pub mod clients;
pub mod config;
pub mod context;
pub mod features;
pub mod jobs;
pub mod kernel;
pub mod metrics;
pub mod redactor;
pub mod shared;
pub mod store;
pub mod vault;
pub mod web;
