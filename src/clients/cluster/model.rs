//! What is wanted, and what is observed: the words between the controller and this module.

use std::net::IpAddr;
use std::time::Duration;

use super::settings::Class;
use crate::kernel::SecretString;

/// What the database asks of one container.
pub struct Wanted {
    /// `ctr_` and 26 characters.
    pub container: String,
    /// The workspace's id.
    pub workspace: String,
    /// The owner's id: the second mark, beside the installation's label, of what may be removed as garbage.
    pub owner: String,
    /// The state.
    pub state: WantedState,
}

/// The state that is wanted.
pub enum WantedState {
    /// Runs, by this start.
    Running(Box<Start>),
    /// Does not run; the volume stays.
    Stopped {
        /// Whether the namespace stays too: quick to start again, and one of about 10,000 that a cluster can hold.
        keep_namespace: bool,
    },
    /// Gone with its data.
    Deleted,
}

/// One start. Another number means another pod.
pub struct Start {
    /// Grows with each start.
    pub number: u64,
    /// What the agent enrols with, once.
    pub token: SecretString,
    /// Whether the agent of this start has enrolled: the token is taken out of the cluster, and a pod that is gone is
    /// not made again, because its token is used up.
    pub enrolled: bool,
    /// Sizes.
    pub class: Class,
    /// The user's image, with a digest.
    pub image: String,
    /// What runs in it.
    pub work: Work,
}

/// What runs in a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A dev container's agent, over the container's volume.
    Agent,
    /// For a proof of isolation: answers on the agent's port and on another, until it is stopped. Has no volume.
    Echo,
    /// The same, and tries these probes (JSON) once; [`Observed::report`] has what it found.
    Probe(String),
}

impl Work {
    /// Whether the pod is a container that keeps something.
    pub(super) fn keeps(&self) -> bool {
        *self == Self::Agent
    }
}

/// Where a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// What the pod needs is being made; [`Observed::step`] says what.
    Preparing,
    /// The pod is there, without a node.
    Scheduling,
    /// A node has it: volumes, network, images.
    Pulling,
    /// The agent is in place, the main container begins.
    Starting,
    /// The main container runs, at [`Observed::ip`].
    Up,
    /// The pod runs and its network policies are not certainly in force: nobody is to be connected to it.
    Unprotected,
    /// The pod of this start is over; [`Observed::reason`] says why. Another start is needed.
    Ended,
    /// Something is being removed before the next step.
    Terminating,
    /// No pod; the volume is kept. With [`Observed::freed`], no namespace either.
    Stopped,
    /// Nothing of it is left.
    Gone,
}

impl Phase {
    const ALL: &[Self] = &[
        Self::Preparing,
        Self::Scheduling,
        Self::Pulling,
        Self::Starting,
        Self::Up,
        Self::Unprotected,
        Self::Ended,
        Self::Terminating,
        Self::Stopped,
        Self::Gone,
    ];

    /// The word for it, as databases keep it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Scheduling => "scheduling",
            Self::Pulling => "pulling",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Unprotected => "unprotected",
            Self::Ended => "ended",
            Self::Terminating => "terminating",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        }
    }

    /// What a word means, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == word)
    }
}

/// The steps of a start, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The namespace.
    Namespace,
    /// Both network policies.
    Policies,
    /// Quota and limits.
    Quota,
    /// The volume's claim.
    Volume,
    /// The Secret with the token.
    Enrolment,
    /// The pod itself.
    Pod,
    /// A node is looked for.
    Node,
    /// Volumes are mounted and the network is set up.
    Mount,
    /// The agent's image is pulled and the agent copied.
    Agent,
    /// The user's image is pulled.
    Image,
    /// The container runs.
    Run,
}

impl Step {
    const ALL: &[Self] = &[
        Self::Namespace,
        Self::Policies,
        Self::Quota,
        Self::Volume,
        Self::Enrolment,
        Self::Pod,
        Self::Node,
        Self::Mount,
        Self::Agent,
        Self::Image,
        Self::Run,
    ];

    /// The word for it, as databases keep it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Policies => "policies",
            Self::Quota => "quota",
            Self::Volume => "volume",
            Self::Enrolment => "enrolment",
            Self::Pod => "pod",
            Self::Node => "node",
            Self::Mount => "mount",
            Self::Agent => "agent",
            Self::Image => "image",
            Self::Run => "run",
        }
    }

    /// What a word means, if it is one.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.as_str() == word)
    }
}

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Where it is.
    pub phase: Phase,
    /// The step that it is at, or failed at.
    pub step: Option<Step>,
    /// The pod's address, as soon as it has one: while [`Phase::Pulling`], [`Phase::Starting`] and [`Phase::Up`]. The kubelet
    /// says about a second late that a container runs; an agent that has enrolled is up already, and may be connected to
    /// at this address.
    pub ip: Option<IpAddr>,
    /// The pod's uid.
    pub pod_uid: Option<String>,
    /// The start that the pod belongs to.
    pub start: Option<u64>,
    /// A sentence for people: why it does not go on, or why it ended.
    pub reason: Option<String>,
    /// What a pod that only tried probes has reported.
    pub report: Option<String>,
    /// Whether waiting cannot help: somebody has to change something.
    pub permanent: bool,
    /// Whether it ended because its memory was full.
    pub out_of_memory: bool,
    /// Whether a stopped container's namespace is freed.
    pub freed: bool,
    /// Look again after this time, even when the watch says nothing.
    pub look_again: Option<Duration>,
}

impl Observed {
    pub(super) fn at(phase: Phase, step: Option<Step>) -> Self {
        Self {
            phase,
            step,
            ip: None,
            pod_uid: None,
            start: None,
            reason: None,
            report: None,
            permanent: false,
            out_of_memory: false,
            freed: false,
            look_again: None,
        }
    }

    /// What stands in the way, found before or instead of a look.
    #[must_use]
    pub fn failed(phase: Phase, reason: impl Into<String>) -> Self {
        let mut observed = Self::at(phase, None).because(reason);
        observed.permanent = true;
        observed
    }

    pub(super) fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    pub(super) fn again(mut self, after: Duration) -> Self {
        self.look_again = Some(after);
        self
    }
}
