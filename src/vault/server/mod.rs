//! The vault process.
