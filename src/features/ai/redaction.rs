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
    redact_request(services, grant, String::new(), body).await
}

/// As [`redact`], for a body that leaves with something beside it. Nothing is put in place of a value there, so it must hold
/// none.
///
/// # Errors
/// [`RedactionError::Beside`] when it does; else as [`redact`].
pub async fn redact_request<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    beside: String,
    body: Bytes,
) -> Result<Bytes, RedactionError> {
    let redacted = look_through(services, grant, Bytes::from(beside), body).await;
    if let Err(error) = &redacted {
        tracing::error!(
            workspace = %grant.workspace(),
            %error,
            "a request to the AI provider was not sent: it could not be looked through for secrets, or cannot be without them"
        );
    }
    redacted
}

async fn look_through<P: Permission>(
    services: &Services,
    grant: &Grant<P>,
    beside: Bytes,
    body: Bytes,
) -> Result<Bytes, RedactionError> {
    let store = &services.store;
    for _ in 0..TRIES {
        let Some((of, state)) = secrets::hidden_state(store, grant).await? else {
            return Ok(body);
        };
        let look = |text: Bytes| async move {
            if text.is_empty() {
                return Ok(Outcome::Clean);
            }
            services.redactor.redact(&of, &state, &text).await
        };
        match tokio::try_join!(look(beside.clone()), look(body.clone()))? {
            (Outcome::NotLoaded, _) | (_, Outcome::NotLoaded) => learn(services, grant).await?,
            (Outcome::Redacted { .. }, _) => return Err(RedactionError::Beside),
            (Outcome::Clean, Outcome::Clean) => return Ok(body),
            (Outcome::Clean, Outcome::Redacted { body, found }) => {
                tell(grant, &found);
                return Ok(body);
            }
        }
    }
    Err(RedactionError::Restless)
}

/// Tells the redactor which values are hidden now.
async fn learn<P: Permission>(services: &Services, grant: &Grant<P>) -> Result<(), RedactionError> {
    let Some(load) = secrets::hidden_values(&services.store, grant).await? else {
        return Ok(());
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
    Ok(())
}

fn tell<P: Permission>(grant: &Grant<P>, found: &[(String, u32)]) {
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let times: u32 = found.iter().map(|(_, times)| times).sum();
    tracing::info!(
        target: "ai.redacted",
        workspace = %grant.workspace(),
        user = %grant.user(),
        ?names,
        times,
    );
}
