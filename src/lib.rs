//! OptiDev.

pub mod cli;
pub mod kernel;
pub mod vault;
