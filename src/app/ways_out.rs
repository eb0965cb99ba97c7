//! The ways out that pods have open, so that they end when their container is cut off: a network policy that is put back does not
//! end what was connected before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::context::Services;
use crate::features::containers::pods;
use crate::kernel::ContainerId;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Looks that fail before all ways out end.
const PATIENCE: u32 = 10;

/// By container: how many there are, and what ends them.
#[derive(Default)]
pub struct WaysOut(Mutex<HashMap<ContainerId, (usize, CancellationToken)>>);

/// One of them.
pub struct WayOut {
    all: Arc<WaysOut>,
    container: ContainerId,
    cut: CancellationToken,
}

impl WaysOut {
    /// Watches them until the server shuts down.
    pub fn watched(services: &Services) -> Arc<Self> {
        let ways = Arc::new(Self::default());
        let (watched, services) = (Arc::clone(&ways), services.clone());
        let shutdown = services.shutdown.clone();
        services.tasks.clone().spawn(async move {
            shutdown.run_until_cancelled(watched.watch(&services)).await;
        });
        ways
    }

    async fn watch(&self, services: &Services) {
        let mut failed = 0;
        loop {
            tokio::time::sleep(LOOK).await;
            if self.open().is_empty() {
                continue;
            }
            match pods::all_present(services).await {
                Ok(present) => {
                    failed = 0;
                    self.cut(|container| !present.contains(container));
                }
                // Nobody gets another way out meanwhile; after some time all end, since nobody knows who is cut off.
                Err(error) => {
                    failed += 1;
                    match failed {
                        1 => tracing::warn!(%error, "pods cannot be read; trying again"),
                        PATIENCE => self.cut(|_| true),
                        _ => {}
                    }
                }
            }
        }
    }

    fn cut(&self, gone: impl Fn(&ContainerId) -> bool) {
        for (container, (count, cut)) in self.open().iter() {
            if gone(container) && !cut.is_cancelled() {
                tracing::warn!(%container, connections = count, "a container is cut off: its ways out end");
                cut.cancel();
            }
        }
    }

    /// Another one of this container's.
    pub fn enter(self: &Arc<Self>, container: ContainerId) -> WayOut {
        let mut open = self.open();
        let (count, cut) = open.entry(container).or_default();
        // Some of those that were cut may not have ended yet.
        if cut.is_cancelled() {
            *cut = CancellationToken::new();
        }
        *count += 1;
        WayOut {
            all: Arc::clone(self),
            container,
            cut: cut.clone(),
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<ContainerId, (usize, CancellationToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WayOut {
    /// When its container is cut off.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }
}

impl Drop for WayOut {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.all.open().entry(self.container) {
            let (count, _) = entry.get_mut();
            *count -= 1;
            if *count == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[test]
    fn those_of_a_container_that_is_cut_off_end_and_later_ones_do_not() {
        let id = || ContainerId::new(&Clock::system(), &Rng);
        let (ways, mine, theirs) = (Arc::new(WaysOut::default()), id(), id());
        let open = [ways.enter(mine), ways.enter(mine), ways.enter(theirs)];
        let ended = |way: &WayOut| way.cut.is_cancelled();
        ways.cut(|container| *container == mine);
        assert_eq!(open.each_ref().map(ended), [true, true, false]);
        let later = ways.enter(mine);
        assert!(!ended(&later));
        drop(open);
        assert!(!ended(&later) && ways.open().len() == 1);
        drop(later);
        assert!(ways.open().is_empty());
    }
}
