//! L0: types that everything else is made of.
//!
//! No I/O, no web framework, no database: whatever is here can be used from every layer, the vault
//! process included.

pub mod secret;
