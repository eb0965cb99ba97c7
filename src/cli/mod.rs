//! L6: the subcommands.

pub mod vault;
