//! How much is looked through at a time, and when it is answered.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most bytes of texts that are worked on at a time: one of the longest, or many short ones. Looking through a text may
/// take several times its size, for what its escapes stand for.
const AT_ONCE: usize = 34 << 20;

/// Room for texts. Those for which there is none wait.
pub struct Room {
    left: Mutex<usize>,
    freed: Condvar,
}

/// Room that is taken; given back when it is dropped.
pub struct Taken<'a> {
    room: &'a Room,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            left: Mutex::new(AT_ONCE),
            freed: Condvar::new(),
        }
    }
}

impl Room {
    /// Waits until there is room for a text of this length.
    pub fn take(&self, bytes: usize) -> Taken<'_> {
        let bytes = bytes.min(AT_ONCE);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.freed.wait_while(left, |left| *left < bytes);
        *left.unwrap_or_else(PoisonError::into_inner) -= bytes;
        Taken { room: self, bytes }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self
            .room
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.room.freed.notify_all();
    }
}

/// How long an answer takes says how far a text goes on like a value, and whoever guesses could find the value piece by piece.
/// So the answer waits until a time that depends on the text's length alone. A text that takes longer by itself waits until a
/// multiple of that time.
pub struct Pace {
    begun: Instant,
    usual: Duration,
    worked: Duration,
}

impl Pace {
    /// A text of this length begins to be looked through, on this thread.
    pub fn begin(bytes: usize) -> Self {
        // Without optimisation, everything takes many times as long.
        const SLOWER: u32 = if cfg!(debug_assertions) { 100 } else { 1 };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            begun: Instant::now(),
            usual: SLOWER * (Duration::from_micros(500) + bytes * Duration::from_nanos(20)),
            worked: worked(),
        }
    }

    /// Whether it took no longer than every text of its length may. By the thread's own time, so that a busy machine makes no
    /// text unusual.
    pub fn is_usual(&self) -> bool {
        worked().saturating_sub(self.worked) <= self.usual
    }

    /// Waits until a multiple of `step` times the usual time.
    pub fn end(self, step: u32) {
        let taken = self.begun.elapsed();
        // A debug build would wait for most of the time of its tests, and hides nothing that matters.
        if !cfg!(debug_assertions) {
            std::thread::sleep(next_multiple(taken, self.usual.saturating_mul(step)) - taken);
        }
    }
}

/// The first multiple of `of` that is not before `time`.
fn next_multiple(time: Duration, of: Duration) -> Duration {
    let times = time.as_nanos().div_ceil(of.as_nanos().max(1)).max(1);
    let multiple = of.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX));
    multiple.max(time)
}

fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn answers_come_at_multiples_of_a_time_whatever_was_taken() {
        let ms = Duration::from_millis;
        for (taken, of, at) in [(0, 7, 7), (1, 7, 7), (7, 7, 7), (8, 7, 14), (99, 7, 105)] {
            assert_eq!(next_multiple(ms(taken), ms(of)), ms(at), "{taken}");
        }
        // Nothing that can be asked for makes it panic.
        next_multiple(Duration::MAX, ms(1));
        next_multiple(Duration::MAX, Duration::MAX);
        next_multiple(ms(1), Duration::ZERO);
    }

    #[test]
    fn texts_wait_for_room_and_the_longest_is_let_in_alone() {
        let room = Room::default();
        let (some, more) = (room.take(AT_ONCE / 2), room.take(AT_ONCE / 2));
        let (entered, told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _taken = room.take(usize::MAX);
                entered.send(()).unwrap();
            });
            drop(some);
            assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
            drop(more);
            told.recv_timeout(Duration::from_secs(10)).unwrap();
        });
        drop(room.take(AT_ONCE));
    }
}
