//! The one integration-test binary: one module for each part of the product, against the real executable.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails loudly")]

mod arch;
mod support;
mod vault;
