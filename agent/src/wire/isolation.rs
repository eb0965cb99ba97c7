//! How a container's isolation is probed, and what was found.
//!
//! Always holds: a proof needs both halves. That a forbidden destination stays silent shows nothing while the network may
//! be dead; so at least one allowed destination must answer.

use serde::{Deserialize, Serialize};

/// The file of `--probes`: what the agent tries before it lets anything start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// How long an expectation that does not hold is tried again: a network policy takes a moment to be in force.
    #[serde(default = "enforcer_wait_ms")]
    pub enforcer_wait_ms: u64,
    /// At least one of each expectation.
    pub probes: Vec<Probe>,
}

/// One destination, and whether the container should reach it.
///
/// A probe of something blocked shows something only when the target would answer: choose what is known to listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// For people, e.g. `kubernetes-api`.
    pub name: String,
    /// `IP:PORT`, IPv6 in brackets; left out for [`ProbeKind::Interface`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// How it is tried.
    pub kind: ProbeKind,
    /// What it must find.
    pub expect: Expectation,
    /// For one try, up to a minute.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// Only for [`ProbeKind::Udp`]: the datagram, standard base64; an empty one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// Only for the two kinds of DNS, and needed there: the name that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Only counts where `blocked` is expected.
    #[serde(default)]
    pub refusal: Refusal,
}

/// How a destination is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// A connection.
    Tcp,
    /// A connection to an IPv6 address.
    Tcp6,
    /// A datagram that the target would answer; sent three times, because one may be lost.
    Udp,
    /// A question for the A record of `query`.
    DnsUdp,
    /// The same over a connection.
    DnsTcp,
    /// No IPv6 address but the link's own, and no default route for IPv6: looked up, nothing is sent.
    Interface,
}

/// What a probe has to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// Nothing gets there.
    Blocked,
    /// A positive control: it answers.
    Reachable,
}

/// What a refusal (a reset, or ICMP port unreachable) means to a probe that expects `blocked`.
///
/// From inside the container a refusal by the target, which the packet then reached, looks like one by an enforcer that
/// rejects and does not drop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Refusal {
    /// The packet got there: nothing is proven.
    #[default]
    Reachable,
    /// The enforcer refused. Only true of a target that is known to listen at this moment, so that no refusal can be its own.
    Blocked,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// The target answered as asked.
    Reachable,
    /// Nothing came back in time, or the network said that there is no way.
    Blocked,
    /// A refusal came back. It fulfils no expectation.
    Refused,
    /// The probe could not be made, or its answer means neither. It fulfils no expectation.
    Unknown,
}

/// What all probes found: in `GET /v1/hello`, and the answer to `POST /v1/isolation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    /// Every expectation held, and the allowed destinations answered before and after the blocked ones were tried.
    pub proven: bool,
    /// When the last probe ended; 0 while the first run is under way.
    pub checked_at_ms: i64,
    /// From the first probe of the run to the last, passes that failed included.
    pub took_ms: u64,
    /// In the file's order; empty while the first run is under way.
    pub probes: Vec<ProbeResult>,
}

/// What one probe found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// [`Probe::name`]
    pub name: String,
    /// [`Probe::address`]
    pub address: String,
    /// [`Probe::expect`]
    pub expected: Expectation,
    /// In the last pass of the run.
    pub observed: Observed,
    /// For people: what came back.
    pub detail: String,
}

impl ProbeResult {
    /// Whether the expectation held.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.expected {
            Expectation::Blocked => self.observed == Observed::Blocked,
            Expectation::Reachable => self.observed == Observed::Reachable,
        }
    }
}

fn enforcer_wait_ms() -> u64 {
    10_000
}

fn timeout_ms() -> u64 {
    1_000
}
