//! The end of what a session opened: checked every second, for as long as something is open.

use std::time::Duration;

use crate::authz::{AuthzError, Credential, authorize_owner_process, permission::ContainersUse};
use crate::context::Services;
use crate::features::containers::Identity;

const EVERY: Duration = Duration::from_millis(900);
/// Checks that could not be made before it counts as ended.
const PATIENCE: u32 = 5;

/// Returns when `credential` is no longer good, its holder may no longer use containers there, or the server stops.
pub async fn ended(services: Services, credential: Credential, who: Identity) {
    let mut unknown = 0;
    loop {
        tokio::select! {
            () = services.shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match holds(&services, &credential, who).await {
            Some(true) => unknown = 0,
            Some(false) => return,
            None => {
                unknown += 1;
                if unknown >= PATIENCE {
                    return;
                }
            }
        }
    }
}

/// Whether the credential is good and its holder may use containers there; `None` when that cannot be told now.
pub async fn holds(services: &Services, credential: &Credential, who: Identity) -> Option<bool> {
    if !services.credentials.still_valid(credential).await.ok()? {
        return Some(false);
    }
    match authorize_owner_process::<ContainersUse>(&services.store, who.owner, who.workspace).await {
        Ok(_) => Some(true),
        Err(AuthzError::Store(_)) => None,
        Err(_) => Some(false),
    }
}
