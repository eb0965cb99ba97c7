//! The vault process over its socket: what it does, and what it refuses to whom.

mod anchors;
pub mod apart;
pub mod attack;
mod confined;
mod credential;
mod doctor;
mod drill;
pub mod harness;
mod kills;
mod operations;
mod person;
mod reseal;
mod restart;
mod rotation;
mod rotation_around;
mod submission;
mod system;
mod throughput;
mod workspace_key;
