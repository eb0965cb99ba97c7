//! Containers as pods: what stands between the servers, which have no rights in the cluster, and `optidev controller`, which
//! has them and nothing else.
//!
//! What always holds:
//! - The two meet in the table `pod` alone. A server writes what is wanted, the controller what it observed; on PostgreSQL the
//!   controller's role cannot write what is wanted, nor read any other container's rows than these.
//! - The controller makes a start's token and gives it to the cluster; the database has its digest. A token is good for one
//!   key ([`enrol`]), and the certificate says which container's agent it is.
//! - An observation counts for what was asked when it was made, and for nothing that was asked since.

mod authority;
mod enrol;
mod keeper;
mod queue;
mod settings;
pub(super) mod store;
mod verify;

pub use authority::{Authority, Own, certificate, roots};
pub use enrol::{EnrolError, all_present, enrol, name, present, renew};
pub use keeper::{Keeper, keep};
pub use settings::{Around, settings};
pub use store::pod;
pub use verify::{Found, Proof, Tried, ask_for_proof, last_proof};
