//! Layer 1: everything outside the server's own processes. Must not import store, web or features.

pub mod http;
