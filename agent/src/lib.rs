//! The process inside a dev container, and the parts of it that the server shares.
//!
//! Shared with the server: [`wire`] (JSON shapes), [`problem`] (refusals), [`archive`] (import
//! rules), [`sealing`] (how variables are delivered), [`identity`] (names and messages of enrolment), [`linger`] (refusals
//! that arrive).
//!
//! The agent itself, lowest first: `ids`, `home` (the only way to a path), `scratch` (temporary
//! names that are swept after a crash), `secret_files`, `processes` (environment and groups), `app` (state), then
//! one module per resource: `files`, `search`, `watch`, `projects`, `terminals`, `exec`, `ports`,
//! `proxy`, `environment`, `isolation` (the gate before all of them); `server` lists the routes; `pod` (TLS, enrolment) and
//! the Unix socket are the two ways to serve them; `cli` starts it all.
//!
//! Always holds: no path of a request reaches the kernel but through `home::Home`; no delivered
//! value is written anywhere but below the folder for secret files, which is memory; whatever was shown to a client survives `kill -9`.

pub mod archive;
pub mod cli;
pub mod identity;
pub mod linger;
pub mod problem;
pub mod sealing;
pub mod server;
pub mod wire;

pub use problem::Problem;

mod app;
mod arguments;
mod environment;
mod exec;
mod extract;
mod files;
mod home;
mod ids;
mod isolation;
mod pod;
mod ports;
mod probe;
mod processes;
mod projects;
mod proxy;
mod scratch;
mod search;
mod secret_files;
mod terminals;
mod watch;
