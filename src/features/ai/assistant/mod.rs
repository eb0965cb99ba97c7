//! The assistant: a conversation about one project, with tools that act in it through the container's agent.
//!
//! How the parts fit: [`api`] and [`ops`] take what the person does; a [`turn`] asks the model ([`call`], [`reply`],
//! [`prompt`]) and uses the tools ([`job`], [`tools`], [`change`], on a [`workbench`]); its [`pen`] writes events for
//! listeners ([`hub`], [`events`]) and the conversation for the next request.
//!
//! What always holds:
//! - Only the owner of a session sees it; its container is the owner's.
//! - Tools reach the project's folder: no absolute path, no `..`, no link. What `run` does is confined by the
//!   container alone, so it asks first. Changes of files need not ask in a new session (each shows as a diff and can be
//!   undone); the user's "always" for one kind lasts for the session.
//! - What a file held before a turn's first change is durable before the change is made. What commands change is not
//!   kept: undo restores what `write` and `edit` changed.
//! - A conversation can be continued after any end of a turn: stop, error, restart of the server.

mod api;
mod begin;
mod call;
mod change;
mod edit;
mod events;
mod history;
mod hub;
mod job;
mod model;
mod ops;
mod path;
mod pen;
mod prompt;
mod reply;
mod rows;
mod store;
#[cfg(test)]
mod tests;
mod tools;
mod turn;
mod undo;
mod workbench;

pub use api::routes;
pub use hub::Hub;
