//! What is alive about conversations in this process: turns that run, decisions that are awaited, listeners.
//!
//! What always holds: an event is in memory until the database has it, so that a listener which reads both misses
//! none; a session has at most one running turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

use super::model::{Event, EventBody, Logged, State, Verdict};
use crate::kernel::{AssistantSessionId, Clock, TurnId};

/// Events that a slow listener may be behind before it reads from the database again.
const BEHIND: usize = 1_024;
/// Sessions kept in memory before quiet ones are let go.
const KEPT: usize = 1_000;

/// All sessions that are alive in this process.
#[derive(Default)]
pub struct Hub(Mutex<HashMap<AssistantSessionId, Arc<Live>>>);

impl Hub {
    /// The session, if it is alive.
    pub fn get(&self, id: AssistantSessionId) -> Option<Arc<Live>> {
        lock(&self.0).get(&id).map(Arc::clone)
    }

    /// Makes a session alive, whose last event in the database has the number `last`; one that is alive already stays.
    pub fn open(&self, id: AssistantSessionId, last: i64) -> Arc<Live> {
        let mut sessions = lock(&self.0);
        if sessions.len() >= KEPT {
            sessions.retain(|_, live| Arc::strong_count(live) > 1 || live.is_busy());
        }
        Arc::clone(
            sessions
                .entry(id)
                .or_insert_with(|| Arc::new(Live::new(last))),
        )
    }
}

/// A session that is alive.
pub struct Live {
    inner: Mutex<Inner>,
    listeners: broadcast::Sender<Logged>,
    /// Held while events are written: two writers would write the same ones.
    pub writing: tokio::sync::Mutex<()>,
}

struct Inner {
    last: i64,
    unwritten: Vec<Logged>,
    turn: Option<(TurnId, CancellationToken)>,
    waiting: HashMap<String, oneshot::Sender<Verdict>>,
}

impl Live {
    fn new(last: i64) -> Self {
        let inner = Inner {
            last,
            unwritten: Vec::new(),
            turn: None,
            waiting: HashMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
            listeners: broadcast::Sender::new(BEHIND),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Tells the listeners, and keeps the event until it is written.
    pub fn emit(&self, clock: &Clock, turn: TurnId, body: EventBody) {
        self.push(&mut lock(&self.inner), clock, turn, body);
    }

    /// As [`Live::emit`], for the last event of a turn: the session is idle from that very event on, so that whoever
    /// reads it may write the next message.
    pub fn end(&self, clock: &Clock, turn: TurnId, body: EventBody) {
        let mut inner = lock(&self.inner);
        inner.finish(turn);
        self.push(&mut inner, clock, turn, body);
    }

    fn push(&self, inner: &mut Inner, clock: &Clock, turn: TurnId, body: EventBody) {
        inner.last += 1;
        let logged = Logged {
            sequence: inner.last,
            at_ms: clock.now_ms(),
            event: Event { turn, body },
        };
        inner.unwritten.push(logged.clone());
        // Under the lock, so that listeners get events in their order. Nobody listening is no failure.
        let _ = self.listeners.send(logged);
    }

    /// The next event, with a number that no other gets: to be written before anybody is told, by whoever runs the turn.
    pub fn draft(&self, clock: &Clock, turn: TurnId, body: EventBody) -> Logged {
        let mut inner = lock(&self.inner);
        inner.last += 1;
        Logged {
            sequence: inner.last,
            at_ms: clock.now_ms(),
            event: Event { turn, body },
        }
    }

    /// Tells the listeners of a draft that the database has now.
    pub fn publish(&self, written: Logged) {
        // Nobody listening is no failure.
        let _ = self.listeners.send(written);
    }

    /// Events that the database does not have yet.
    pub fn unwritten(&self) -> Vec<Logged> {
        lock(&self.inner).unwritten.clone()
    }

    /// Forgets events that the database has now.
    pub fn written(&self, up_to: i64) {
        lock(&self.inner)
            .unwritten
            .retain(|one| one.sequence > up_to);
    }

    /// Listens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Logged> {
        self.listeners.subscribe()
    }

    /// Begins a turn; `None` while another one runs.
    pub fn begin(self: &Arc<Self>, turn: TurnId, cancel: CancellationToken) -> Option<Running> {
        let mut inner = lock(&self.inner);
        if inner.turn.is_some() {
            return None;
        }
        inner.turn = Some((turn, cancel));
        Some(Running(Arc::clone(self), turn))
    }

    /// Asks the running turn to end; false when none runs.
    pub fn stop(&self) -> bool {
        lock(&self.inner)
            .turn
            .as_ref()
            .map(|(_, cancel)| cancel.cancel())
            .is_some()
    }

    /// What the session is doing.
    pub fn state(&self) -> State {
        let inner = lock(&self.inner);
        match (&inner.turn, inner.waiting.is_empty()) {
            (None, _) => State::Idle,
            (Some(_), true) => State::Working,
            (Some(_), false) => State::Waiting,
        }
    }

    /// Waits for a decision about a call.
    pub fn ask(&self, call: &str) -> oneshot::Receiver<Verdict> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.inner).waiting.insert(call.to_owned(), sender);
        receiver
    }

    /// Gives a decision; false when no such call waits for one.
    pub fn decide(&self, call: &str, verdict: Verdict) -> bool {
        let sender = lock(&self.inner).waiting.remove(call);
        sender.is_some_and(|sender| sender.send(verdict).is_ok())
    }

    fn is_busy(&self) -> bool {
        let inner = lock(&self.inner);
        inner.turn.is_some() || !inner.unwritten.is_empty() || self.listeners.receiver_count() > 0
    }
}

/// A running turn. Dropped, the session is idle again, however the turn ended.
pub struct Running(Arc<Live>, TurnId);

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0.inner).finish(self.1);
    }
}

impl Inner {
    /// Idle, unless another turn has begun already.
    fn finish(&mut self, turn: TurnId) {
        if self
            .turn
            .as_ref()
            .is_some_and(|(running, _)| *running == turn)
        {
            self.turn = None;
            self.waiting.clear();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
