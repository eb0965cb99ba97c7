//! Layer 2: what replicas share: limits, revocations, locks, what may be used once, and what happened last.
//!
//! With `[redis]` it is shared by all replicas; without, by this process, which is then the only one. Each part says
//! what it does while Redis fails. What always holds: nothing is kept here that is not kept better elsewhere or of no
//! worth after minutes, and names of keys tell nothing: they are hashes.

mod limiter;
mod locks;
mod once;
mod recent;
mod revocations;

pub use limiter::{Left, Limiter, Quota, Take, Taken};
pub use locks::{Held, Locks};
pub use once::Once;
pub use recent::Recent;
pub use revocations::{Revocations, Subject};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clients::redis::{Redis, RedisError};
use crate::kernel::{Clock, Rng};

/// Everything that is shared. Cheap to clone.
#[derive(Clone)]
pub struct Shared {
    redis: Option<Redis>,
    /// How often something may be done.
    pub limiter: Limiter,
    /// What may be used once.
    pub once: Once,
    /// Who does what only one may do at a time.
    pub locks: Locks,
    /// What happened last, for people to look at.
    pub recent: Recent,
    /// Whose rights have changed.
    pub revocations: Revocations,
}

impl Shared {
    /// Over `redis`, or in this process.
    pub fn new(redis: Option<Redis>, clock: &Clock, rng: &Rng) -> Self {
        Self {
            limiter: Limiter::new(redis.clone(), clock.clone()),
            once: Once::new(redis.clone(), clock.clone()),
            locks: Locks::new(redis.clone(), *rng),
            recent: Recent::new(redis.as_ref()),
            revocations: Revocations::new(redis.clone()),
            redis,
        }
    }

    /// Starts to hear what other replicas say, and to remember what is used.
    pub async fn start(&self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        self.revocations.start(tasks, shutdown);
        self.recent.start(tasks, shutdown);
        self.once.begin().await;
    }

    /// Whether Redis answers; none where there is none.
    pub async fn ping(&self) -> Option<Result<(), RedisError>> {
        match &self.redis {
            Some(redis) => Some(redis.ping().await),
            None => None,
        }
    }
}

/// What a name is called in Redis: 128 bits of its SHA-256. Names hold addresses of people.
fn hashed(name: &str) -> String {
    let digest = Sha256::digest(name);
    URL_SAFE_NO_PAD.encode(digest.get(..16).unwrap_or_default())
}
