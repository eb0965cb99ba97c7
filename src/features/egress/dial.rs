//! From a name to a connection: resolve once, check every address, connect to a checked one.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use super::host::{Host, Target};
use super::judge::Listed;
use super::refusal::Refusal;
use super::upstream::Upstream;
use crate::clients::ranges;
use crate::kernel::ContainerId;

/// What a test has names resolve to.
#[cfg(test)]
pub type Answers = Box<dyn Fn(&str, u16) -> Vec<SocketAddr> + Send + Sync>;

/// Where names are looked up.
pub enum Resolver {
    /// The system's resolver, on the server's side: containers have none.
    System,
    /// The answer to each look-up is the test's, port included: a test has no right to listen at 80 and 443.
    #[cfg(test)]
    Test(Answers),
}

impl Resolver {
    async fn lookup(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
            #[cfg(test)]
            Self::Test(answers) => Ok(answers(name, port)),
        }
    }
}

/// Look-ups at a time, of all containers. Each holds a thread of the pool that all blocking work shares, until the system's resolver
/// gives up: longer than anybody waits for it.
const LOOKUPS: usize = 64;
/// Of these, one container's: names whose name server is silent, or hostile, are its own affair.
const LOOKUPS_EACH: usize = 8;

/// Bounds look-ups.
pub struct Lookups {
    resolver: Arc<Resolver>,
    tasks: TaskTracker,
    all: Arc<Semaphore>,
    each: Mutex<HashMap<ContainerId, Weak<Semaphore>>>,
}

impl Lookups {
    /// By this resolver.
    pub fn new(resolver: Resolver, tasks: TaskTracker) -> Self {
        Self {
            resolver: Arc::new(resolver),
            tasks,
            all: Arc::new(Semaphore::new(LOOKUPS)),
            each: Mutex::default(),
        }
    }

    fn of(&self, container: ContainerId) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get(&container).and_then(Weak::upgrade) {
            return own;
        }
        each.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(LOOKUPS_EACH));
        each.insert(container, Arc::downgrade(&own));
        own
    }

    /// The addresses of a name; none when there are none, or not in time. A look-up that nobody waits for any more keeps its places.
    async fn find(
        &self,
        container: ContainerId,
        name: &str,
        port: u16,
        deadline: Instant,
    ) -> Vec<SocketAddr> {
        let (own, all) = (self.of(container), Arc::clone(&self.all));
        let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
        let found = async {
            // Its own first: those that wait hold nothing of others.
            let places = (own.acquire_owned().await, all.acquire_owned().await);
            let lookup = async move {
                let found = resolver.lookup(&name, port).await;
                drop(places);
                found
            };
            self.tasks.spawn(lookup).await
        };
        match timeout_at(deadline, found).await {
            Ok(Ok(Ok(addresses))) => addresses,
            Ok(Ok(Err(_)) | Err(_)) | Err(_) => Vec::new(),
        }
    }
}

/// Makes connections.
pub struct Dialer {
    /// How names are looked up.
    pub lookups: Lookups,
    /// Special-purpose ranges that are open all the same.
    pub also_allow: Vec<IpNet>,
    /// For name and connection together.
    pub timeout: Duration,
    /// A proxy that makes the connections which are not excepted.
    pub upstream: Option<Upstream>,
}

impl Dialer {
    /// Connects to a target that a list has let through, for a container.
    ///
    /// # Errors
    /// [`Refusal::Unresolved`], [`Refusal::Special`] or [`Refusal::SpecialAddition`] when no address is left after the
    /// check, or [`Refusal::Unreachable`]; behind an upstream proxy those of [`Upstream::connect`] too, and
    /// [`Refusal::UncheckedAddition`].
    pub async fn connect(
        &self,
        container: ContainerId,
        target: &Target,
        listed: Listed,
    ) -> Result<TcpStream, Refusal> {
        let deadline = Instant::now() + self.timeout;
        if let Some(upstream) = &self.upstream
            && upstream.serves(target)
        {
            match (&target.host, listed) {
                // It is checked, whoever connects to it.
                (Host::Address(_), _) => {
                    drop(self.addresses(container, target, listed, deadline).await?)
                }
                (Host::Name(_), Listed::Installation) => {}
                (Host::Name(_), Listed::Workspace) => {
                    return Err(Refusal::UncheckedAddition(target.clone()));
                }
            }
            return upstream.connect(target, deadline).await;
        }
        let addresses = self.addresses(container, target, listed, deadline).await?;
        let mut reason = String::from("no address");
        let mut left = addresses.len();
        for address in addresses {
            // An address that swallows packets must not use up the time of those after it.
            let share = deadline.saturating_duration_since(Instant::now())
                / u32::try_from(left.max(1)).unwrap_or(1);
            left = left.saturating_sub(1);
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Best effort: without it small packets are later, not lost.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => reason = error.to_string(),
                Err(_) => reason = format!("no connection within {} ms", self.timeout.as_millis()),
            }
        }
        Err(Refusal::Unreachable {
            target: target.clone(),
            reason,
        })
    }

    /// The addresses of the target that may be connected to; never empty.
    async fn addresses(
        &self,
        container: ContainerId,
        target: &Target,
        listed: Listed,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let all = match &target.host {
            Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
            Host::Name(name) => {
                let lookups = &self.lookups;
                lookups.find(container, name, target.port, deadline).await
            }
        };
        // What the operator opened is open to names that the operator listed.
        let also_allow = match listed {
            Listed::Installation => self.also_allow.as_slice(),
            Listed::Workspace => &[],
        };
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in all {
            match ranges::special(address.ip(), also_allow) {
                None if allowed.contains(&address) => {}
                None => allowed.push(address),
                Some(range) => refused = refused.or(Some((address.ip(), range))),
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some((address, range))) => {
                let target = target.clone();
                Err(match listed {
                    Listed::Installation => Refusal::Special {
                        target,
                        address,
                        range,
                    },
                    Listed::Workspace => Refusal::SpecialAddition {
                        target,
                        address,
                        range,
                    },
                })
            }
            (true, None) => Err(Refusal::Unresolved(target.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[tokio::test]
    async fn a_container_whose_look_ups_hang_takes_none_of_others() {
        let resolver = Resolver::Test(Box::new(|_, port| vec![([127, 0, 0, 1], port).into()]));
        let lookups = Lookups::new(resolver, TaskTracker::new());
        let id = || ContainerId::new(&Clock::system(), &Rng);
        let (mine, theirs) = (id(), id());
        let soon = || Instant::now() + Duration::from_millis(50);
        // As look-ups do whose name server is silent.
        let own = lookups.of(mine);
        let hanging = own.acquire_many(u32::try_from(LOOKUPS_EACH).unwrap()).await;
        assert!(lookups.find(mine, "a.example", 1, soon()).await.is_empty());
        assert_eq!(lookups.find(theirs, "a.example", 1, soon()).await.len(), 1);
        assert_eq!(lookups.all.available_permits(), LOOKUPS);
        drop(hanging);
        assert_eq!(lookups.find(mine, "a.example", 1, soon()).await.len(), 1);
        // Nothing is kept of those that have ended.
        drop(own);
        let _ = lookups.of(id());
        assert_eq!(lookups.each.lock().unwrap().len(), 1);
    }
}
