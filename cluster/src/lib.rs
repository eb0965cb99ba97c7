//! Scratch crate around the one module, `cluster`.

pub mod cluster;
