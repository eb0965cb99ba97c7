//! Dev containers: one per member and workspace, made to run by the controller on a runtime.
//!
//! What always holds: operations write what is wanted, and the controller alone makes it so; only the owner gets to
//! the agent ([`enter`]), whatever the role; a container counts as running only after its isolation was proven.

mod controller;
mod model;
mod runtime;
mod store;

pub use controller::{Controller, EnvironmentSource, Parts};
pub use model::{Checkout, CheckoutState, Container, Identity, State, Wanted};
pub use runtime::local::LocalRuntime;
pub use runtime::{EgressHandler, Runtime, RuntimeError};
