//! The one integration-test binary: one module for each part of the product, against the real executable.

mod arch;
