//! From a name to a connection: resolve once, check every address, connect to a checked one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::host::{Host, Target};
use super::judge::Listed;
use super::refusal::Refusal;
use super::upstream::Upstream;
use crate::clients::ranges;

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

/// Makes connections.
pub struct Dialer {
    /// Where names are looked up.
    pub resolver: Resolver,
    /// Special-purpose ranges that are open all the same.
    pub also_allow: Vec<IpNet>,
    /// For name and connection together.
    pub timeout: Duration,
    /// A proxy that makes the connections which are not excepted.
    pub upstream: Option<Upstream>,
}

impl Dialer {
    /// Connects to a target that a list has let through.
    ///
    /// # Errors
    /// [`Refusal::Unresolved`], [`Refusal::Special`] or [`Refusal::SpecialAddition`] when no address is left after the
    /// check, or [`Refusal::Unreachable`]; behind an upstream proxy those of [`Upstream::connect`] too, and
    /// [`Refusal::UncheckedAddition`].
    pub async fn connect(&self, target: &Target, listed: Listed) -> Result<TcpStream, Refusal> {
        let deadline = Instant::now() + self.timeout;
        if let Some(upstream) = &self.upstream
            && upstream.serves(target)
        {
            match (&target.host, listed) {
                // It is checked, whoever connects to it.
                (Host::Address(_), _) => drop(self.addresses(target, listed, deadline).await?),
                (Host::Name(_), Listed::Installation) => {}
                (Host::Name(_), Listed::Workspace) => {
                    return Err(Refusal::UncheckedAddition(target.clone()));
                }
            }
            return upstream.connect(target, deadline).await;
        }
        let addresses = self.addresses(target, listed, deadline).await?;
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
        target: &Target,
        listed: Listed,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Refusal> {
        let all = match &target.host {
            Host::Address(address) => vec![SocketAddr::new(*address, target.port)],
            Host::Name(name) => {
                match timeout_at(deadline, self.resolver.lookup(name, target.port)).await {
                    Ok(Ok(addresses)) => addresses,
                    Ok(Err(_)) | Err(_) => Vec::new(),
                }
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
