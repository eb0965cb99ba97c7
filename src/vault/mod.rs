//! The vault: the one process that ever holds the master secret, and the client through which the
//! server asks it for things.
//!
//! - [`VaultClient`] is all that the rest of the server uses. There is no general decrypt: each
//!   operation is for one named thing, and the vault decides by itself what it refuses.
//! - `server` is the process, started as `optidev vault`. It parses nothing but `protocol`.
//! - `outside` is what somebody does who is neither: seal a value to the vault, open what it sealed to them.
//! - Keys: master secret --HKDF--> numbered root keys --wrap--> random workspace keys --HKDF--> one
//!   AES-256-GCM key per ciphertext. `server::keys` and `server::envelope` say it in full.
//!
//! This module may use `kernel` only. The server half must not use tokio, a web framework or a
//! database: what it does not link into its loop cannot be attacked through it.

mod client;
mod outside;
pub mod protocol;
pub mod server;
mod types;

pub use client::VaultClient;
pub use outside::{Recipient, submit};
pub use types::{
    AUDIT_MESSAGE, Anchor, Audience, Binding, DeliverItem, Delivery, ExtraItem, Hardening,
    KeyMemory, MAX_DELIVERY, MAX_NAME, MAX_PATTERNS, MAX_VALUE, MAX_VARIABLE, MacPurpose, Probe,
    Purpose, RootKey, SUBMISSION_INFO, Sealed, Status, Submission, SubmissionKey, SystemPurpose,
    Tier, VaultError, WrappedKey, submission_data,
};
