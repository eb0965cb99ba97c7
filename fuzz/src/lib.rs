//! The server's own files, under the paths that they name each other by.
#![allow(
    missing_docs,
    dead_code,
    unused_imports,
    reason = "a part of a crate that uses all of it"
)]

#[path = "../../src/kernel"]
pub mod kernel {
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
