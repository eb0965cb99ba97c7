//! A vault process that somebody else starts, as a user of its own: a sidecar on Kubernetes, a unit of its own with systemd.
//! The server has neither the master secret nor a way to start that process; it waits.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use super::{redactor_process, vault_process};
use crate::context::Services;
use crate::vault::VaultError;

/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the log says that it is still waited for.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Waits until it answers, for as long as that takes: whoever started this server knows best how long is too long.
///
/// # Errors
/// When it answers and will have nothing to do with this server, which waiting does not mend.
pub async fn answers(services: &Services) -> anyhow::Result<()> {
    let mut said: Option<Instant> = None;
    loop {
        match services.vault.status().await {
            Ok(status) => {
                vault_process::warn_of_missing(&status);
                return Ok(());
            }
            Err(error @ (VaultError::Refused { .. } | VaultError::Protocol { .. })) => bail!(
                "the vault process that [vault] socket names does not serve this server: {error}. Start it with \
                 --client-uid {} and from the same version",
                rustix::process::geteuid().as_raw()
            ),
            Err(error) if said.is_none_or(|time| time.elapsed() > SAY_AGAIN) => {
                said = Some(Instant::now());
                tracing::warn!(%error, "waiting for the vault process, which is started apart");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Says in the log when there is no redactor beside that vault: everything but the AI works without.
pub async fn look_for_redactor(services: &Services) {
    if services.config.redactor.socket.is_none() {
        tracing::warn!(
            "[redactor] socket is not set, and the vault is started apart: nothing of a workspace that has secrets goes to the \
             AI provider. Start `optidev redactor` as a user of its own, name that user in `optidev vault serve \
             --redactor-uid`, and set its socket"
        );
        return;
    }
    match services.redactor.missing().await {
        Ok(missing) => redactor_process::warn_of_missing(&missing),
        Err(error) => {
            tracing::warn!(%error, "nothing goes to the AI provider until the redactor answers")
        }
    }
}
