//! Whose sessions, tokens or rights have changed: told to everything in this process, and to other replicas.
//!
//! It only makes haste. Caches of credentials end within a second and what is open is checked each second, so that a
//! message that is lost delays an end and does not prevent it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clients::redis::{Redis, RedisError, told};
use crate::kernel::UserId;

/// Messages that a slow listener may be behind; one that is further behind checks all the same.
const BEHIND: usize = 256;
/// From a channel that broke to the next try.
const AGAIN: Duration = Duration::from_millis(500);
const CHANNEL: &str = "changed";

/// Who is to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// One account: its sessions, tokens, memberships or roles.
    Account(UserId),
    /// Everybody: messages may have been missed, or many are affected.
    Everybody,
}

impl Subject {
    /// Whether `user` is meant.
    pub fn means(self, user: UserId) -> bool {
        match self {
            Self::Account(account) => account == user,
            Self::Everybody => true,
        }
    }

    fn word(self) -> String {
        match self {
            Self::Account(account) => account.to_string(),
            Self::Everybody => "*".to_owned(),
        }
    }

    /// What cannot be read may mean anybody.
    fn read(word: &str) -> Self {
        word.parse().map_or(Self::Everybody, Self::Account)
    }
}

/// Tells and hears. Cheap to clone.
#[derive(Clone)]
pub struct Revocations {
    redis: Option<Redis>,
    here: broadcast::Sender<Subject>,
    /// To the one task that tells other replicas.
    there: Arc<broadcast::Sender<Subject>>,
}

/// Hears what is told from now on.
pub struct Ear(broadcast::Receiver<Subject>);

impl Ear {
    /// The next who is to be looked at.
    pub async fn hear(&mut self) -> Subject {
        match self.0.recv().await {
            Ok(subject) => subject,
            Err(broadcast::error::RecvError::Lagged(_)) => Subject::Everybody,
            // Nobody tells any more: the server ends.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Returns when `user` is to be looked at.
    pub async fn about(&mut self, user: UserId) {
        while !self.hear().await.means(user) {}
    }
}

impl Revocations {
    pub(super) fn new(redis: Option<Redis>) -> Self {
        Self {
            redis,
            here: broadcast::Sender::new(BEHIND),
            there: Arc::new(broadcast::Sender::new(BEHIND)),
        }
    }

    /// Hears what is told from now on.
    pub fn ear(&self) -> Ear {
        Ear(self.here.subscribe())
    }

    /// Tells everybody to look at `subject` again. To be called once the change is committed.
    pub fn tell(&self, subject: Subject) {
        // Nobody listening is no fault.
        let _ = self.here.send(subject);
        let _ = self.there.send(subject);
    }

    pub(super) fn start(&self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        let Some(redis) = self.redis.clone() else {
            return;
        };
        let outgoing = Ear(self.there.subscribe());
        let (here, listening, stop) = (self.here.clone(), redis.clone(), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = listen(&listening, &here) => {}
            }
        });
        let stop = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = publish(&redis, outgoing) => {}
            }
        });
    }
}

async fn publish(redis: &Redis, mut outgoing: Ear) {
    let channel = redis.key("channel", CHANNEL);
    loop {
        let subject = outgoing.hear().await;
        let mut command = redis::cmd("PUBLISH");
        command.arg(&channel).arg(subject.word());
        if let Err(error) = redis.command::<i64>(command).await {
            tracing::debug!(%error, "other replicas see a change at their next check");
        }
    }
}

async fn listen(redis: &Redis, here: &broadcast::Sender<Subject>) {
    let channel = redis.key("channel", CHANNEL);
    let mut told_of = false;
    loop {
        let hear = |message: Option<String>| {
            let subject = message.map_or(Subject::Everybody, |word| Subject::read(&word));
            let _ = here.send(subject);
        };
        let Err::<std::convert::Infallible, RedisError>(error) = redis.listen(&channel, hear).await;
        if !std::mem::replace(&mut told_of, true) {
            tracing::warn!(
                cause = told(&error),
                "the channel of revocations broke; changes are seen within a second all the same"
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[tokio::test]
    async fn who_is_meant_hears_it_and_others_do_not() {
        let revocations = Revocations::new(None);
        let (ada, eve) = (
            UserId::new(&Clock::system(), &Rng),
            UserId::new(&Clock::system(), &Rng),
        );
        let mut ear = revocations.ear();
        revocations.tell(Subject::Account(eve));
        revocations.tell(Subject::Account(ada));
        ear.about(ada).await;
        let nothing = tokio::time::timeout(Duration::from_millis(20), ear.about(ada));
        assert!(nothing.await.is_err());
        revocations.tell(Subject::Everybody);
        ear.about(ada).await;
        for subject in [Subject::Account(ada), Subject::Everybody] {
            assert_eq!(Subject::read(&subject.word()), subject);
        }
        assert_eq!(Subject::read("nonsense"), Subject::Everybody);
    }

    #[tokio::test]
    async fn who_falls_behind_looks_all_the_same() {
        let revocations = Revocations::new(None);
        let (ada, eve) = (
            UserId::new(&Clock::system(), &Rng),
            UserId::new(&Clock::system(), &Rng),
        );
        let mut ear = revocations.ear();
        revocations.tell(Subject::Account(ada));
        for _ in 0..=BEHIND {
            revocations.tell(Subject::Account(eve));
        }
        ear.about(ada).await;
    }
}
