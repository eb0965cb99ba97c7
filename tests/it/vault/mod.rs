//! The vault process over its socket: what it does, and what it refuses to whom.

mod anchors;
mod attack;
mod confined;
mod credential;
mod doctor;
mod drill;
mod harness;
mod operations;
mod restart;
mod rotation;
mod system;
mod throughput;
mod workspace_key;
