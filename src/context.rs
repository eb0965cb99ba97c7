//! Layer 2: what every operation is given: the parts of the running server, and who asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authz::{self, Actor, Credentials};
use crate::clients::http::Outbound;
use crate::clients::mail::Mailer;
use crate::clients::objects::{Objects, ObjectsError};
use crate::clients::redis::RedisError;
use crate::config::{Config, Paths};
use crate::kernel::{Clock, Code, Problem, Rng, WorkspaceId};
use crate::redactor::RedactorClient;
use crate::shared::{Shared, Subject};
use crate::store::{Grant, Permission, Store};
use crate::vault::{VaultClient, VaultError};

/// A sign-in this old or younger counts as fresh, in milliseconds.
pub const FRESH_MS: i64 = 10 * 60 * 1_000;

/// The parts of the running server. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// Wall-clock time.
    pub clock: Clock,
    /// Random numbers.
    pub rng: Rng,
    /// Settings.
    pub config: Arc<Config>,
    /// Where things are kept.
    pub paths: Arc<Paths>,
    /// The address under which browsers reach the console, without a slash at the end.
    pub public_url: Arc<str>,
    /// The database.
    pub store: Store,
    /// The vault process.
    pub vault: VaultClient,
    /// The redactor.
    pub redactor: RedactorClient,
    /// Sends mail, when a server for it is configured.
    pub mailer: Option<Mailer>,
    /// The way out to other systems.
    pub outbound: Outbound,
    /// Where archives are kept.
    pub objects: Objects,
    /// Recognises sessions and tokens.
    pub credentials: Credentials,
    /// What replicas share.
    pub shared: Shared,
    /// Background work, so that shutdown waits for it.
    pub tasks: TaskTracker,
    /// Cancelled when the server is to stop.
    pub shutdown: CancellationToken,
}

impl Services {
    /// To be called once a change of `subject`'s sessions, tokens or rights is committed: what is remembered of them is
    /// forgotten, and what is open looks again, here and on every replica.
    pub fn changed(&self, subject: Subject) {
        self.credentials.forget(|user| subject.means(user));
        self.shared.revocations.tell(subject);
    }

    /// The master secret's file; the vault process alone reads it.
    pub fn master_file(&self) -> PathBuf {
        self.config.vault.master(&self.paths)
    }
}

/// One request: the server and who asks.
#[derive(Clone)]
pub struct Ctx {
    /// The server.
    pub services: Services,
    /// Who asks.
    pub actor: Actor,
    /// For the log and for problems.
    pub request_id: String,
}

impl Ctx {
    /// Proof that the actor may do `P` in `workspace`, checked now.
    ///
    /// # Errors
    /// 404 for foreign and absent workspaces alike, 403 when the role or the token's scopes do not allow it.
    pub async fn authorize<P: Permission>(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Grant<P>, Problem> {
        Ok(authz::authorize::<P>(&self.services.store, &self.actor, workspace).await?)
    }

    /// Milliseconds since the epoch.
    pub fn now_ms(&self) -> i64 {
        self.services.clock.now_ms()
    }

    /// Demands that what the request showed is still good: before what took long is done, or goes on. The grant that is
    /// asked for then says the same of the membership.
    ///
    /// # Errors
    /// `unauthenticated`; `unavailable` when that cannot be told.
    pub async fn require_valid(&self) -> Result<(), Problem> {
        let credentials = &self.services.credentials;
        if credentials.still_valid(self.actor.credential()).await? {
            return Ok(());
        }
        Err(Problem::new(
            Code::Unauthenticated,
            "The session or token of this request has ended meanwhile. Nothing was changed; sign in again and repeat it.",
        ))
    }

    /// Demands that the person proved who they are within the last ten minutes.
    ///
    /// # Errors
    /// `reauthentication_required`; always so for API tokens, which prove no person's presence.
    pub fn require_fresh(&self) -> Result<(), Problem> {
        if self.now_ms() - self.actor.authenticated_at_ms() <= FRESH_MS {
            return Ok(());
        }
        Err(Problem::new(
            Code::ReauthenticationRequired,
            "This needs a sign-in of the last ten minutes. Confirm your password and try again.",
        ))
    }
}

impl From<RedisError> for Problem {
    fn from(error: RedisError) -> Self {
        Problem::unavailable(
            "What keeps this safe when several servers run does not answer at the moment. Nothing was changed; try again in a \
             few seconds.",
            error,
        )
    }
}

impl From<ObjectsError> for Problem {
    fn from(error: ObjectsError) -> Self {
        match &error {
            ObjectsError::NotConfigured => Problem::new(
                Code::Conflict,
                "Projects cannot be imported from archives here: this installation has no storage for them. Make the project \
                 from a git address or empty, or ask the operator to configure [objects].",
            ),
            ObjectsError::Unavailable(_) => Problem::unavailable(
                "The storage for archives does not answer at the moment. Nothing was changed; try again in a few minutes.",
                error,
            ),
            ObjectsError::Refused(_) => Problem::unavailable(
                "The storage for archives refuses this server. Nothing was changed; tell the operator, whose log says why.",
                error,
            ),
            ObjectsError::Absent => Problem::not_found(),
            ObjectsError::Setting(_) | ObjectsError::Key(_) | ObjectsError::Disk(_) => {
                Problem::internal(error)
            }
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match &error {
            VaultError::Unavailable { .. } | VaultError::Timeout { .. } => Problem::unavailable(
                "The vault does not answer at the moment. Nothing was changed; try again in a few seconds.",
                error,
            ),
            VaultError::Throttled { retry_after_ms } => {
                Problem::rate_limited(error.to_string(), Duration::from_millis(*retry_after_ms))
            }
            VaultError::Refused { .. } => Problem::new(Code::Forbidden, error.to_string()),
            VaultError::TooLarge { .. } => Problem::new(Code::TooLarge, error.to_string()),
            VaultError::NotRecorded => Problem::unavailable(
                "The vault cannot write its record and opens no secrets until it can. Tell the operator.",
                error,
            ),
            VaultError::DoesNotDecrypt | VaultError::Protocol { .. } => Problem::internal(error),
        }
    }
}

/// The parts of a server without its other processes, for unit tests.
#[cfg(test)]
pub mod testing {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::authz::SessionLimits;
    use crate::store::ledger::TestSeal;

    /// Services on a fresh database in `folder`, without a vault.
    pub async fn services(folder: &Path) -> Services {
        let (clock, rng, config) = (Clock::system(), Rng, Config::default());
        let seal = Arc::new(TestSeal);
        let store = Store::open(&config.database, &folder.join("db"), seal)
            .await
            .unwrap();
        store.migrate_embedded().await.unwrap();
        let vault = VaultClient::new(folder.join("no-vault"));
        let (paths, outbound) = (
            Paths::new(folder.to_path_buf()),
            Outbound::new(&config).unwrap(),
        );
        let limits = SessionLimits {
            idle_ms: 60_000,
            absolute_ms: 600_000,
        };
        Services {
            credentials: Credentials::new(store.clone(), vault.clone(), clock.clone(), limits),
            objects: Objects::new(&config.objects, &paths, &outbound).unwrap(),
            outbound,
            paths: Arc::new(paths),
            config: Arc::new(config),
            public_url: "http://localhost".into(),
            mailer: None,
            shared: Shared::new(None, &clock, &rng),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            clock,
            rng,
            redactor: RedactorClient::new(folder.join("no-redactor")),
            store,
            vault,
        }
    }
}
