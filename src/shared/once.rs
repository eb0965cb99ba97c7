//! What may be used once, by whichever replica it is shown to first.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use redis::Script;

use super::hashed;
use crate::clients::redis::{Redis, RedisError};
use crate::kernel::Clock;

/// Remembers what was used for as long as it would be good. The memory may begin anew, with the process or with Redis:
/// what was made before that may have been used already, and is not good any more. Cheap to clone.
#[derive(Clone)]
pub struct Once {
    redis: Option<Redis>,
    clock: Clock,
    here: Arc<Here>,
}

struct Here {
    since_ms: i64,
    /// When each ends that was used.
    used: Mutex<HashMap<String, i64>>,
}

/// `KEYS`: when the memory began, and the name. `ARGV`: now, when it was made, and for how long it is good, milliseconds.
static FIRST: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local since = redis.call('GET', KEYS[1])
        if not since then
            since = ARGV[1]
            redis.call('SET', KEYS[1], since)
        end
        if tonumber(ARGV[2]) < tonumber(since) then
            return 0
        end
        return redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[3]) and 1 or 0
        ",
    )
});

impl Once {
    pub(super) fn new(redis: Option<Redis>, clock: Clock) -> Self {
        let here = Here {
            since_ms: clock.now_ms(),
            used: Mutex::default(),
        };
        Self {
            redis,
            clock,
            here: Arc::new(here),
        }
    }

    /// Begins to remember, unless that was begun.
    pub(super) async fn begin(&self) {
        if self.redis.is_some() {
            let _ = self.first("begin", self.clock.now_ms(), 1).await;
        }
    }

    /// Uses up `name`, which was made at `made_ms` and is good for `keep_ms`; says whether this was certainly the first
    /// time.
    ///
    /// # Errors
    /// While Redis fails: then nobody knows.
    pub async fn first(&self, name: &str, made_ms: i64, keep_ms: i64) -> Result<bool, RedisError> {
        let now = self.clock.now_ms();
        let name = hashed(name);
        if let Some(redis) = &self.redis {
            let keys = [redis.key("once", "since"), redis.key("once", &name)];
            let first: i64 = redis
                .script(&FIRST, &keys, &[now, made_ms, keep_ms.max(1)])
                .await?;
            return Ok(first == 1);
        }
        if made_ms < self.here.since_ms {
            return Ok(false);
        }
        let mut used = self
            .here
            .used
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, end| *end > now);
        Ok(used.insert(name, now + keep_ms).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_use_and_what_is_older_than_the_memory_are_refused() {
        let clock = Clock::fixed(1_000);
        let once = Once::new(None, clock.clone());
        assert!(once.first("a", 1_000, 60).await.unwrap());
        assert!(!once.first("a", 1_000, 60).await.unwrap());
        assert!(once.first("b", 1_000, 60).await.unwrap());
        assert!(!once.first("c", 999, 60).await.unwrap());
        clock.advance_ms(61);
        // Forgotten, because whoever asks checks first whether it is still good.
        assert!(once.first("a", 1_000, 60).await.unwrap());
    }
}
