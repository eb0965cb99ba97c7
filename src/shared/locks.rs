//! What one replica does at a time.
//!
//! A lock is a lease: who holds it and is cut off loses it without being told at once. It spares work and keeps order
//! where doing twice is harmless; what would do harm is decided in the database.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::Script;

use super::hashed;
use crate::clients::redis::{Redis, RedisError};
use crate::kernel::Rng;

/// Locks by name. Cheap to clone.
#[derive(Clone)]
pub struct Locks {
    redis: Option<Redis>,
    rng: Rng,
    here: Arc<Mutex<HashSet<String>>>,
}

/// A lock that is held until it is let go of, or its time is over.
pub struct Held {
    locks: Locks,
    name: String,
    mark: i64,
    lease_ms: i64,
}

/// `KEYS`: the lock. `ARGV`: the holder's mark, the lease in milliseconds.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            redis.call('PEXPIRE', KEYS[1], ARGV[2])
            return 1
        end
        return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
        ",
    )
});

/// `KEYS`: the lock. `ARGV`: the holder's mark.
static LET_GO: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) == ARGV[1] then
            redis.call('DEL', KEYS[1])
        end
        ",
    )
});

impl Locks {
    pub(super) fn new(redis: Option<Redis>, rng: Rng) -> Self {
        Self {
            redis,
            rng,
            here: Arc::default(),
        }
    }

    /// Takes the lock for `lease`, unless somebody else holds it.
    ///
    /// # Errors
    /// While Redis fails.
    pub async fn take(&self, name: &str, lease: Duration) -> Result<Option<Held>, RedisError> {
        let name = hashed(name);
        if self.redis.is_none() {
            let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
            if !here.insert(name.clone()) {
                return Ok(None);
            }
        }
        // Only now: dropping it frees the lock.
        let held = Held {
            locks: self.clone(),
            name,
            mark: i64::from_le_bytes(self.rng.bytes::<8>()),
            lease_ms: i64::try_from(lease.as_millis()).unwrap_or(i64::MAX),
        };
        Ok(held.renew().await?.then_some(held))
    }
}

impl Held {
    /// Holds it for another lease; says whether it is still, or again, this holder's.
    ///
    /// # Errors
    /// While Redis fails.
    pub async fn renew(&self) -> Result<bool, RedisError> {
        let Some(redis) = &self.locks.redis else {
            return Ok(true);
        };
        let keys = [redis.key("lock", &self.name)];
        let taken: i64 = redis
            .script(&TAKE, &keys, &[self.mark, self.lease_ms])
            .await?;
        Ok(taken == 1)
    }

    /// Lets go. Without it, the lock is free when its time is over.
    pub async fn release(self) {
        match &self.locks.redis {
            Some(redis) => {
                let keys = [redis.key("lock", &self.name)];
                if let Err(error) = redis.script::<()>(&LET_GO, &keys, &[self.mark]).await {
                    tracing::debug!(%error, "a lock ends with its lease");
                }
            }
            None => self.forget(),
        }
    }

    fn forget(&self) {
        self.locks
            .here
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // In this process there is no lease; in Redis it runs out.
        if self.locks.redis.is_none() {
            self.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holds_it_until_it_lets_go_or_is_dropped() {
        let locks = Locks::new(None, Rng);
        let lease = Duration::from_secs(1);
        let held = locks.take("a", lease).await.unwrap().unwrap();
        assert!(locks.take("a", lease).await.unwrap().is_none());
        assert!(locks.take("b", lease).await.unwrap().is_some());
        held.release().await;
        let held = locks.take("a", lease).await.unwrap();
        assert!(held.is_some());
        drop(held);
        assert!(locks.take("a", lease).await.unwrap().is_some());
    }
}
