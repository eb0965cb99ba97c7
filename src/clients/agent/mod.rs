//! The agents of running containers, over agent protocol v1.
//!
//! What always holds:
//! - An [`Agent`] is a container's id and the number of its start; a request reaches that start of that container or
//!   fails. A connection of an earlier start is never used again.
//! - The agent is not trusted: user code runs beside it. Its answers are data; what may be passed on is for the
//!   caller to choose. A link in place of its socket is not followed.
//!
//! Must not import features, web or axum. Who may talk to which agent was decided before one is asked for here.

mod calls;
mod connect;
mod error;
mod registry;
mod tls;
mod transport;

pub use calls::Written;
pub use connect::Endpoint;
pub use error::AgentError;
pub use registry::{Agent, Agents, Finder};
pub use tls::{Broker, Rotating};
pub use transport::{Body, Upgraded, bytes, empty, stream};
