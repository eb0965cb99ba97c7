//! The server's own files, under the paths that they name each other by.
#![allow(
    missing_docs,
    dead_code,
    unused_imports,
    reason = "a part of a crate that uses all of it"
)]

#[path = "../../src/kernel"]
pub mod kernel {
    /// There is no log here that a value could get into: debug builds of the server remember values for theirs.
    pub mod leaks {
        pub fn remember(_: &[u8]) {}
    }
    pub mod secret;
    pub use secret::SecretString;
}

#[path = "../../src/vault"]
pub mod vault {
    pub mod protocol;
    pub mod types;
}

#[path = "../../src/features"]
pub mod features {
    pub mod secrets {
        pub mod dotenv;
    }
}
