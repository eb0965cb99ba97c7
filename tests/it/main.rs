//! Integration tests, in one binary.

mod vault;
