//! The vault process over its socket: what it does, and what it refuses to whom.

mod anchors;
mod attack;
mod confined;
mod harness;
mod kills;
mod operations;
mod reseal;
mod restart;
mod submission;
mod system;
mod throughput;
