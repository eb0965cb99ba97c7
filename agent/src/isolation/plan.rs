//! The probes of a run: read once from their file, checked, then tried as often as is asked.
//!
//! Always holds: `proven` means that in one and the same pass the controls answered, then everything forbidden stayed
//! silent, then the controls answered again. A network that was dead for a moment proves nothing.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use tokio::time::Instant;

use super::dns;
use super::probe::{Sighting, Target};
use crate::ids;
use crate::wire::{
    Expectation, Isolation, Observed, Probe, ProbeKind, ProbeResult, Probes, Refusal,
};

/// Between two passes.
const PAUSE: Duration = Duration::from_millis(100);
/// Longer waits in the file are a mistake: the container would seem to hang.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);
const WAIT_MAX: Duration = Duration::from_secs(600);

/// All probes, ready to be tried.
#[derive(Debug)]
pub struct Plan {
    wait: Duration,
    probes: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    name: String,
    address: String,
    expected: Expectation,
    target: Target,
    limit: Duration,
    /// A refusal counts as blocked.
    rejects: bool,
}

impl Plan {
    /// # Errors
    /// The file cannot be read, or says nothing that could prove anything.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read(path)?;
        let probes: Probes = serde_json::from_slice(&text)?;
        Self::new(probes).map_err(io::Error::other)
    }

    /// # Errors
    /// A line for people which names the probe.
    pub fn new(file: Probes) -> Result<Self, String> {
        for (expected, word) in [
            (Expectation::Blocked, "blocked"),
            (Expectation::Reachable, "reachable"),
        ] {
            if !file.probes.iter().any(|probe| probe.expect == expected) {
                return Err(format!(
                    "no probe expects {word:?}; without both kinds nothing is proven"
                ));
            }
        }
        let wait = Duration::from_millis(file.enforcer_wait_ms);
        if wait > WAIT_MAX {
            return Err(format!("enforcer_wait_ms is more than {WAIT_MAX:?}"));
        }
        let probes = file.probes.into_iter().map(Planned::new);
        Ok(Self {
            wait,
            probes: probes.collect::<Result<_, _>>()?,
        })
    }

    /// Tries everything until all expectations hold, or the time for the enforcer is over.
    pub async fn prove(&self) -> Isolation {
        let begun = Instant::now();
        let deadline = begun + self.wait;
        loop {
            let probes = self.pass().await;
            let proven = probes.iter().all(ProbeResult::holds);
            if proven || Instant::now() >= deadline {
                return Isolation {
                    proven,
                    checked_at_ms: ids::now_ms(),
                    took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
                    probes,
                };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Controls, then everything forbidden, then the controls again. In the file's order.
    async fn pass(&self) -> Vec<ProbeResult> {
        let mut controls = self.look_at(Expectation::Reachable).await;
        let alive = controls.iter().flatten().all(ProbeResult::holds);
        // With a dead network this shows nothing; it is for whoever reads the result.
        let walls = self.look_at(Expectation::Blocked).await;
        if alive {
            controls = self.look_at(Expectation::Reachable).await;
        }
        let found = controls.into_iter().zip(walls);
        found
            .filter_map(|(control, wall)| control.or(wall))
            .collect()
    }

    /// All probes of one kind at once; the others' places stay empty.
    async fn look_at(&self, expected: Expectation) -> Vec<Option<ProbeResult>> {
        join_all(self.probes.iter().map(|probe| async move {
            if probe.expected == expected {
                Some(probe.look().await)
            } else {
                None
            }
        }))
        .await
    }
}

impl Planned {
    fn new(probe: Probe) -> Result<Self, String> {
        let wrong = |what: &str| format!("the probe {:?} {what}", probe.name);
        let limit = Duration::from_millis(probe.timeout_ms);
        if limit.is_zero() || limit > TIMEOUT_MAX {
            return Err(wrong("has a timeout_ms that is 0 or more than a minute"));
        }
        let address = || -> Result<SocketAddr, String> {
            let parsed = probe.address.parse();
            parsed.map_err(|_| wrong("needs an address like 10.0.0.1:443 or [fd00::1]:443"))
        };
        let question = || {
            let id = u16::try_from(ids::random() & 0xffff).unwrap_or_default();
            let name = probe.query.as_deref().unwrap_or_default();
            dns::question(id, name).ok_or_else(|| wrong("needs a DNS name in \"query\""))
        };
        let target = match probe.kind {
            ProbeKind::Tcp => Target::Tcp(address()?),
            ProbeKind::Tcp6 => {
                let address = address()?;
                if !address.is_ipv6() {
                    return Err(wrong("is tcp6 and has an IPv4 address"));
                }
                Target::Tcp(address)
            }
            ProbeKind::Udp => {
                let message = STANDARD.decode(probe.send.as_deref().unwrap_or_default());
                Target::Udp(
                    address()?,
                    message.map_err(|_| wrong("has a \"send\" that is not standard base64"))?,
                )
            }
            ProbeKind::DnsUdp => Target::Udp(address()?, question()?),
            ProbeKind::DnsTcp => Target::DnsTcp(address()?, question()?),
            ProbeKind::Interface if probe.expect == Expectation::Reachable => {
                return Err(wrong(
                    "looks at interfaces, which can only expect \"blocked\"",
                ));
            }
            ProbeKind::Interface => Target::Interface,
        };
        Ok(Self {
            expected: probe.expect,
            target,
            limit,
            rejects: probe.expect == Expectation::Blocked && probe.refusal == Refusal::Blocked,
            name: probe.name,
            address: probe.address,
        })
    }

    async fn look(&self) -> ProbeResult {
        let Sighting {
            mut observed,
            mut detail,
        } = self.target.look(self.limit).await;
        if observed == Observed::Refused && self.rejects {
            observed = Observed::Blocked;
            detail.push_str("; a refusal is the enforcer's here");
        }
        ProbeResult {
            name: self.name.clone(),
            address: self.address.clone(),
            expected: self.expected,
            observed,
            detail,
        }
    }
}
