//! How an agent in a pod gets its certificate: the first for its token, the next for the one that it has.

use std::collections::HashSet;

use optidev_agent::identity::{EnrolRequest, IssuedCertificate, RenewRequest, container_name};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::authority::Authority;
use super::store::{self, pod};
use crate::clients::cluster::Phase;
use crate::context::Services;
use crate::features::containers::model::{Identity, Wanted};
use crate::kernel::{Code, ContainerId, Problem};
use crate::store::StoreError;

/// An agent whose answer was lost asks again with the same key; whoever comes later does not.
const AGAIN_MS: i64 = 60_000;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It is not the agent of a container that is wanted, or the token is used up. Never says which.
    #[error("this token is not good for this container")]
    Refused,
    /// Something else.
    #[error("{}", .0.detail)]
    Problem(Problem),
}

impl<E: Into<Problem>> From<E> for EnrolError {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

/// The first certificate of a pod's agent. Uses the token up; the same request may come again within a minute.
///
/// # Errors
/// [`EnrolError`]
pub async fn enrol(
    services: &Services,
    authority: &Authority,
    request: &EnrolRequest,
) -> Result<IssuedCertificate, EnrolError> {
    let id: ContainerId = request.container.parse().map_err(|_| EnrolError::Refused)?;
    let token = Sha256::digest(&request.token);
    let csr = Sha256::digest(&request.csr);
    let now = services.clock.now_ms();
    // Again after a write that came in between: it may have been of something else.
    for _ in 0..3 {
        let row = store::read(&services.store, id).await?;
        let row = row.ok_or(EnrolError::Refused)?;
        if row.wanted() != Wanted::Running || !is_digest(&row.token_digest, &token) {
            return Err(refused(&row, "it is not the token of the present start"));
        }
        let again = is_digest(&row.csr_digest, &csr)
            && row.enrolled_at_ms.is_some_and(|at| now - at < AGAIN_MS);
        if row.is_enrolled() && !again {
            return Err(refused(&row, "the token is used up"));
        }
        // Before the token is used up: a request that cannot be signed is to be made anew.
        let certificate = authority.sign(&request.csr, &name(id)).await?;
        if again || store::use_up(&services.store, &row, &token, &csr, now).await? {
            tracing::info!(container = %id, "an agent was enrolled");
            return Ok(IssuedCertificate { certificate });
        }
    }
    let busy = "The container's start is being changed. Try again.";
    Err(Problem::new(Code::Conflict, busy).into())
}

/// The next certificate of a container whose agent shows its present one.
///
/// # Errors
/// [`EnrolError`]
pub async fn renew(
    services: &Services,
    authority: &Authority,
    id: ContainerId,
    request: &RenewRequest,
) -> Result<IssuedCertificate, EnrolError> {
    let row = store::read(&services.store, id).await?;
    let row = row.ok_or(EnrolError::Refused)?;
    if row.wanted() != Wanted::Running || !row.is_enrolled() {
        return Err(refused(&row, "the container is not wanted running"));
    }
    let certificate = authority.sign(&request.csr, &name(id)).await?;
    Ok(IssuedCertificate { certificate })
}

/// Whose container this is, if its agent has any business: it is wanted running, enrolled, and certainly behind its network
/// policies.
///
/// # Errors
/// [`StoreError`]
pub async fn present(services: &Services, id: ContainerId) -> Result<Option<Identity>, StoreError> {
    let row = store::read(&services.store, id).await?;
    Ok(row.filter(is_present).map(|row| row.identity()))
}

/// As [`present`], of all containers.
///
/// # Errors
/// [`StoreError`]
pub async fn all_present(services: &Services) -> Result<HashSet<ContainerId>, StoreError> {
    let rows = store::all(&services.store).await?.into_iter();
    Ok(rows
        .filter(is_present)
        .map(|row| row.container_id)
        .collect())
}

fn is_present(row: &pod::Model) -> bool {
    row.wanted() == Wanted::Running && row.is_enrolled() && row.phase() != Some(Phase::Unprotected)
}

/// The name in the certificate of a container.
pub fn name(id: ContainerId) -> String {
    container_name(&id.to_string())
}

fn refused(row: &pod::Model, why: &str) -> EnrolError {
    tracing::warn!(container = %row.container_id, why, "an agent was refused a certificate");
    EnrolError::Refused
}

fn is_digest(kept: &Option<Vec<u8>>, digest: &[u8]) -> bool {
    kept.as_deref()
        .is_some_and(|kept| bool::from(kept.ct_eq(digest)))
}
