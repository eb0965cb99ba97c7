//! Which container is looked at when: one look at a time for each, and no look lost.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::kernel::ContainerId;

/// What servers wrote and nobody has acted on yet, as of the last poll.
#[derive(Default)]
pub struct Unseen(HashMap<ContainerId, i64>);

impl Unseen {
    /// Whom to look at. The others are in the queue since an earlier poll, being looked at, or waiting after an error: looking at
    /// them again would double the work when there is most of it, and leave no pause after errors.
    pub fn not_seen_before(
        &mut self,
        rows: impl Iterator<Item = (ContainerId, i64)>,
    ) -> Vec<ContainerId> {
        let before = std::mem::replace(&mut self.0, rows.collect());
        let new = self
            .0
            .iter()
            .filter(|(id, changed)| before.get(id) != Some(changed));
        new.map(|(id, _)| *id).collect()
    }
}

/// When each container is looked at next.
#[derive(Default)]
pub struct Queue {
    order: BTreeSet<(Instant, ContainerId)>,
    when: HashMap<ContainerId, Instant>,
    /// Those that are being looked at, and when they are wanted again.
    working: HashMap<ContainerId, Option<Instant>>,
}

impl Queue {
    /// Not later than `when`.
    pub fn at(&mut self, id: ContainerId, when: Instant) {
        if let Some(again) = self.working.get_mut(&id) {
            *again = Some(again.map_or(when, |before| before.min(when)));
            return;
        }
        match self.when.get(&id) {
            Some(before) if *before <= when => return,
            Some(before) => {
                self.order.remove(&(*before, id));
            }
            None => {}
        }
        self.order.insert((when, id));
        self.when.insert(id, when);
    }

    /// The next that is due, which is then being looked at.
    pub fn take(&mut self, now: Instant) -> Option<ContainerId> {
        let (when, id) = *self.order.first().filter(|(when, _)| *when <= now)?;
        self.order.remove(&(when, id));
        self.when.remove(&id);
        self.working.insert(id, None);
        Some(id)
    }

    /// Of looks that go on nothing is known any more.
    pub fn forget_looks(&mut self) {
        self.working.clear();
    }

    /// How many are due, now or later, or being looked at.
    pub fn len(&self) -> usize {
        self.order.len() + self.working.len()
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Instant> {
        self.order.first().map(|(when, _)| *when)
    }

    /// A look is over; another is due after `next`, or at once when something changed meanwhile.
    pub fn done(&mut self, id: ContainerId, next: Option<Duration>) {
        let again = self.working.remove(&id).flatten();
        let next = next.map(|next| Instant::now() + next);
        if let Some(when) = [again, next].into_iter().flatten().min() {
            self.at(id, when);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[test]
    fn a_container_is_looked_at_once_at_a_time_and_again_when_it_changed_meanwhile() {
        let id = ContainerId::new(&Clock::fixed(1), &Rng);
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.at(id, now + Duration::from_secs(9));
        assert_eq!(queue.take(now), None);
        queue.at(id, now);
        queue.at(id, now + Duration::from_secs(5));
        assert_eq!(queue.take(now), Some(id));
        assert_eq!(queue.take(now), None, "it is being looked at");
        queue.at(id, now);
        assert_eq!(queue.take(now), None, "still");
        queue.done(id, Some(Duration::from_secs(60)));
        assert_eq!(queue.take(now), Some(id), "it changed meanwhile");
        queue.done(id, None);
        assert_eq!(queue.next(), None);
    }

    #[test]
    fn a_row_that_nobody_has_acted_on_yet_is_told_once() {
        let [one, two] = [(); 2].map(|()| ContainerId::new(&Clock::fixed(1), &Rng));
        let mut unseen = Unseen::default();
        assert_eq!(unseen.not_seen_before([(one, 1)].into_iter()), [one]);
        assert!(
            unseen.not_seen_before([(one, 1)].into_iter()).is_empty(),
            "it waits"
        );
        assert_eq!(
            unseen.not_seen_before([(one, 1), (two, 1)].into_iter()),
            [two]
        );
        assert_eq!(
            unseen.not_seen_before([(one, 2), (two, 1)].into_iter()),
            [one],
            "another wish"
        );
        assert!(unseen.not_seen_before([].into_iter()).is_empty());
        assert_eq!(
            unseen.not_seen_before([(one, 2)].into_iter()),
            [one],
            "acted on meanwhile"
        );
    }
}
