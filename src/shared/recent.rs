//! What happened last to something, at all replicas together: a help for people, of which losing some is no harm.
//!
//! Whoever notes something never waits: one task writes it to Redis, and what finds the queue full or Redis away is left out
//! and counted. It has a connection of its own, so that it neither delays nor fails what limits and locks ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use redis::Script;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::hashed;
use crate::clients::redis::{Redis, RedisError};

/// Notes that wait to be written at most.
const WAITING: usize = 1_024;
/// Notes that are written together at most.
const BATCH: usize = 64;
/// How long a list is kept after its last note.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// From one line in the log about what was left out to the next.
const TOLD: Duration = Duration::from_secs(60);

/// Lists of notes, each under a name. Cheap to clone.
#[derive(Clone)]
pub struct Recent(Option<Arc<Inner>>);

struct Inner {
    redis: Redis,
    queue: mpsc::Sender<Note>,
    /// Until the task that writes has begun.
    waiting: Mutex<Option<mpsc::Receiver<Note>>>,
    left_out: AtomicU64,
}

struct Note {
    key: String,
    text: String,
}

/// `KEYS`: the list. `ARGV`: how many it keeps, for how many milliseconds, and the notes, oldest first.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        redis.call('LPUSH', KEYS[1], unpack(ARGV, 3))
        redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        ",
    )
});

impl Recent {
    /// Notes that a list keeps.
    pub const MOST: usize = 200;

    pub(super) fn new(redis: Option<&Redis>) -> Self {
        Self(redis.map(|redis| {
            let (queue, waiting) = mpsc::channel(WAITING);
            Arc::new(Inner {
                redis: redis.aside(),
                queue,
                waiting: Mutex::new(Some(waiting)),
                left_out: AtomicU64::new(0),
            })
        }))
    }

    /// One that shares nothing.
    #[cfg(test)]
    pub fn alone() -> Self {
        Self(None)
    }

    /// Adds what `text` gives to the list of `name`, soon. Does nothing without Redis.
    pub fn note(&self, name: &str, text: impl FnOnce() -> String) {
        let Some(inner) = &self.0 else { return };
        let note = Note {
            key: hashed(name),
            text: text(),
        };
        if inner.queue.try_send(note).is_err() {
            inner.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was noted under `name`, newest first; none without Redis, or while it fails.
    pub async fn of(&self, name: &str) -> Option<Vec<String>> {
        let inner = self.0.as_ref()?;
        let mut command = redis::cmd("LRANGE");
        command
            .arg(inner.key(&hashed(name)))
            .arg(0)
            .arg(Self::MOST - 1);
        // A value that is no text is not one of ours.
        let notes: Vec<Vec<u8>> = inner.redis.command(command).await.ok()?;
        let texts = notes
            .into_iter()
            .filter_map(|note| String::from_utf8(note).ok());
        Some(texts.collect())
    }

    pub(super) fn start(&self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        let Some(inner) = self.0.clone() else { return };
        let waiting = inner
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(waiting) = waiting else { return };
        let stop = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = inner.write(waiting) => {}
            }
        });
    }
}

impl Inner {
    fn key(&self, name: &str) -> String {
        self.redis.key("recent", name)
    }

    async fn write(&self, mut waiting: mpsc::Receiver<Note>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut told = (0, None);
        while waiting.recv_many(&mut batch, BATCH).await > 0 {
            let mut lists: HashMap<String, Vec<String>> = HashMap::new();
            for Note { key, text } in batch.drain(..) {
                lists.entry(key).or_default().push(text);
            }
            for (name, notes) in lists {
                let lost = notes.len() as u64;
                if let Err(error) = self.add(&name, notes).await {
                    tracing::debug!(%error, notes = lost, "notes stay with this replica");
                    self.left_out.fetch_add(lost, Ordering::Relaxed);
                }
            }
            self.tell(&mut told);
        }
    }

    async fn add(&self, name: &str, notes: Vec<String>) -> Result<(), RedisError> {
        let mut arguments = vec![Recent::MOST.to_string(), KEPT.as_millis().to_string()];
        arguments.extend(notes);
        self.redis.script(&ADD, &[self.key(name)], &arguments).await
    }

    fn tell(&self, told: &mut (u64, Option<Instant>)) {
        let left_out = self.left_out.load(Ordering::Relaxed);
        if left_out > told.0 && told.1.is_none_or(|last| last.elapsed() >= TOLD) {
            tracing::warn!(
                left_out,
                "so many notes of what happened last were not shared with other replicas since the start; the log has them"
            );
            *told = (left_out, Some(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisConfig;

    /// Over a server that takes connections and never says anything.
    fn mute() -> (std::net::TcpListener, Recent) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = RedisConfig {
            url: format!("redis://{}", listener.local_addr().unwrap())
                .as_str()
                .into(),
            timeout_ms: 100,
            ..RedisConfig::default()
        };
        let redis = Redis::new(&config).unwrap().unwrap();
        (listener, Recent::new(Some(&redis)))
    }

    #[tokio::test]
    async fn whoever_notes_never_waits_and_what_is_too_much_is_counted() {
        let (_listener, recent) = mute();
        let start = Instant::now();
        for number in 0..WAITING + 10 {
            recent.note("a", || number.to_string());
        }
        assert!(start.elapsed() < Duration::from_millis(500));
        let inner = recent.0.clone().unwrap();
        assert_eq!(inner.left_out.load(Ordering::Relaxed), 10);
        // Nor does the queue stay full: what cannot be written is given up.
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        recent.start(&tasks, &stop);
        while inner.left_out.load(Ordering::Relaxed) < 10 + WAITING as u64 {
            assert!(start.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(recent.of("a").await, None);
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn what_fails_here_rests_nothing_else() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let config = RedisConfig {
            url: format!("redis://{}", listener.local_addr().unwrap())
                .as_str()
                .into(),
            timeout_ms: 100,
            ..RedisConfig::default()
        };
        let redis = Redis::new(&config).unwrap().unwrap();
        assert_eq!(Recent::new(Some(&redis)).of("a").await, None);
        let asked = redis.ping().await;
        assert!(!matches!(asked, Err(RedisError::Resting)), "{asked:?}");
    }
}
