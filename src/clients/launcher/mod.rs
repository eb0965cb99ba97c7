//! The launcher: the process that starts what the server itself must not be able to: containers and the vault process.
//!
//! The server confines itself so that no code in it can open the master secret (`app::confinement`). What it starts
//! would be confined as well, and could neither mount nor read a master. So a process of its own, begun before that,
//! starts them on request. What always holds: a request names a container by its id, and never a path, a command or a
//! user; the launcher works these out from settings that it read itself.
//!
//! [`Launcher`] is the server's end. This module must not import features: the other end is theirs and `app`'s.

mod link;
mod wire;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use link::{Link, pair};
pub use wire::{Answer, Ask, Ended, Problem, Question, Started, Told};

/// Most containers in one [`Answer::Containers`], so that it fits a packet.
pub const PAGE: usize = 1_000;

/// The server's end. Cheap to clone.
#[derive(Clone)]
pub struct Launcher(Arc<Inner>);

struct Inner {
    link: Link,
    next: AtomicU64,
    open: Mutex<Open>,
    lost: CancellationToken,
}

#[derive(Default)]
struct Open {
    questions: HashMap<u64, oneshot::Sender<Reply>>,
    endings: HashMap<u64, watch::Sender<Option<Ended>>>,
}

type Reply = (Result<Answer, Problem>, Option<OwnedFd>);

impl Launcher {
    /// Speaks over `link` from now on, in a task that outlives those of `tasks`.
    pub fn new(link: Link, tasks: &TaskTracker, shutdown: &CancellationToken) -> Self {
        let launcher = Self(Arc::new(Inner {
            link,
            next: AtomicU64::new(1),
            open: Mutex::default(),
            lost: CancellationToken::new(),
        }));
        let (listening, shutdown) = (launcher.clone(), shutdown.clone());
        // Not among the tracked tasks' work: it listens until everything else has ended.
        let tasks = tasks.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "the tracked tasks speak with the launcher until the last of them has ended"
        )]
        tokio::spawn(async move {
            let heard = listening.listen().await;
            listening.0.lost.cancel();
            listening.0.lock().questions.clear();
            if let Err(error) = heard
                && !(shutdown.is_cancelled() && tasks.is_closed())
            {
                tracing::error!(%error, "the launcher does not answer any more");
            }
        });
        launcher
    }

    /// Cancelled when the launcher has ended. Nothing can be started from then on.
    pub fn lost(&self) -> CancellationToken {
        self.0.lost.clone()
    }

    /// Tells the launcher that the server ends, and waits for its end, which lets containers go on.
    pub async fn end(&self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        self.0.link.end();
        let _ = tokio::time::timeout(PATIENCE, self.0.lost.cancelled()).await;
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// What the launcher says; or that it has ended.
    pub async fn ask(&self, ask: Ask) -> Result<Answer, Problem> {
        self.ask_for(ask).await.map(|(answer, _)| answer)
    }

    /// As [`Launcher::ask`], with the descriptor that came with the answer.
    ///
    /// # Errors
    /// As [`Launcher::ask`].
    pub async fn ask_for(&self, ask: Ask) -> Result<(Answer, Option<OwnedFd>), Problem> {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.0.lock().questions.insert(id, answer);
        // After it is noted: who listens clears the list only after this says that there is nobody.
        if self.0.lost.is_cancelled() {
            self.0.lock().questions.remove(&id);
            return Err(Problem::ended());
        }
        let text =
            serde_json::to_vec(&Question { id, ask }).map_err(|error| Problem::failed(&error))?;
        if self.0.link.send(&text, None).await.is_err() {
            self.0.lock().questions.remove(&id);
            return Err(Problem::ended());
        }
        let (result, descriptor) = answered.await.map_err(|_| Problem::ended())?;
        result.map(|answer| (answer, descriptor))
    }

    /// How an instance ended, once it has.
    pub fn ending(&self, instance: u64) -> watch::Receiver<Option<Ended>> {
        self.0.lock().ending(instance).subscribe()
    }

    /// The instance is done with.
    pub fn forget(&self, instance: u64) {
        self.0.lock().endings.remove(&instance);
    }

    async fn listen(&self) -> io::Result<()> {
        loop {
            let Some((text, descriptor)) = self.0.link.receive().await? else {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has ended"));
            };
            match serde_json::from_slice(&text)? {
                Told::Answer { id, result } => {
                    let question = self.0.lock().questions.remove(&id);
                    // Who asked may have stopped waiting.
                    let _ = question.map(|question| question.send((result, descriptor)));
                }
                Told::Ended { instance, how } => {
                    self.0.lock().ending(instance).send_replace(Some(how));
                }
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Whoever comes first, the end or the question for it, makes the channel.
    fn ending(&mut self, instance: u64) -> &watch::Sender<Option<Ended>> {
        self.endings
            .entry(instance)
            .or_insert_with(|| watch::channel(None).0)
    }
}
