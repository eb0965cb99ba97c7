//! The redactor: a process that finds a workspace's hidden values in what is about to leave for an AI provider.
//!
//! The server hands it a text and gets it back with placeholders. To know what to look for, the redactor asks the vault by
//! itself for hidden values (`patterns`, which the vault answers to nobody else): the server carries ciphertext, and what it
//! says goes to the redactor alone. So a Sensitive value is kept out of a text without the server ever having it.
//!
//! - [`RedactorClient`] is all that the rest of the server uses.
//! - `process` is `optidev redactor`. It parses texts of strangers, and holds values; it holds no key, opens no file and
//!   reaches nothing but its two sockets.
//! - `matching` is the rule what counts as the value and what is put in its place.
//!
//! What always holds: no operation returns a value. Whoever may ask can find out whether a value that they guess is a hidden
//! one, as with every text that is redacted; how long an answer takes says nothing of parts of one (`pace`).
//!
//! This module may use `kernel`, and of `vault` the protocol and what hardens a process.

mod client;
mod holdings;
mod matching;
mod pace;
pub mod process;
mod protocol;
mod vault_link;

pub use client::{HiddenItem, Load, Outcome, RedactorClient, RedactorError};
pub use matching::Unlooked;
pub use protocol::{MAX_HIDDEN, Of};
