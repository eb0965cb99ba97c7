//! What leaves for the upstream holds no hidden value of the workspace: the redactor has looked through it before.
//!
//! What always holds: when the redactor does not answer, nothing leaves. A text in which nothing is found goes out as the same
//! bytes.

use bytes::Bytes;

use crate::context::Services;
use crate::features::secrets;
use crate::redactor::{Outcome, RedactorError};
use crate::store::{Grant, Permission, StoreError};

/// Why a text may not leave.
#[derive(Debug, thiserror::Error)]
pub enum RedactionError {
    /// The redactor did not look through it.
    #[error(transparent)]
    Redactor(#[from] RedactorError),
    /// The database did not answer.
    #[error("the workspace's secrets cannot be read")]
    Store(#[from] StoreError),
    /// A value is where none may be.
    #[error("the address or a header of the request holds a hidden value of the workspace")]
    Beside,
    /// They change all the while.
    #[error("the workspace's secrets change faster than they are read")]
    Restless,
}

/// What leaves beside a body: nothing is put in place of a value there, so it must hold none.
///
/// # Errors
/// [`RedactionError::Beside`] when it does; else as [`redact`].
pub async fn require_none<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    beside: String,
) -> Result<(), RedactionError> {
    let before = Bytes::from(beside);
    if redact(services, grant, before.clone()).await? == before {
        Ok(())
    } else {
        Err(RedactionError::Beside)
    }
}

/// How often the secrets may change while they are read.
const TRIES: usize = 4;

/// The text without the hidden values of the grant's workspace.
///
/// # Errors
/// [`RedactionError`]; the text must not leave then.
pub async fn redact<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    body: Bytes,
) -> Result<Bytes, RedactionError> {
    let redacted = look_through(services, grant, body).await;
    if let Err(error) = &redacted {
        tracing::error!(
            workspace = %grant.workspace(),
            %error,
            "a request to the AI provider could not be looked through for secrets, and was not sent"
        );
    }
    redacted
}

async fn look_through<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    body: Bytes,
) -> Result<Bytes, RedactionError> {
    if body.is_empty() {
        return Ok(body);
    }
    let store = &services.store;
    for _ in 0..TRIES {
        let Some((of, state)) = secrets::hidden_state(store, grant).await? else {
            return Ok(body);
        };
        match services.redactor.redact(&of, &state, &body).await? {
            Outcome::Clean => return Ok(body),
            Outcome::Redacted { body, found } => {
                let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
                let times: u32 = found.iter().map(|(_, times)| times).sum();
                tracing::info!(
                    target: "ai.redacted",
                    workspace = %grant.workspace(),
                    user = %grant.user(),
                    ?names,
                    times,
                );
                return Ok(body);
            }
            Outcome::NotLoaded => {
                let Some(load) = secrets::hidden_values(store, grant).await? else {
                    return Ok(body);
                };
                let unlooked = services.redactor.load(&load).await?;
                if !unlooked.is_empty() {
                    tracing::warn!(
                        target: "ai.redacted",
                        workspace = %grant.workspace(),
                        ?unlooked,
                        "values that are too short or too common are not looked for in what goes to the AI provider"
                    );
                }
            }
        }
    }
    Err(RedactionError::Restless)
}
