//! The vault process over its socket: what it does, and what it refuses to whom.

mod anchors;
mod apart;
mod attack;
mod confined;
mod credential;
mod doctor;
mod drill;
mod harness;
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
