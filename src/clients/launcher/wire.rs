//! What server and launcher say to each other: JSON, a packet each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::kernel::ContainerId;

/// A request of the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Prepare this machine for containers. First, and once.
    Open,
    /// Make the container's volume when it is not there. [`Answer::Text`].
    PrepareVolume(ContainerId),
    /// Find the container of an earlier server. [`Answer::Instance`] or [`Answer::None`].
    Adopt(ContainerId),
    /// Start the container. [`Answer::Instance`].
    Launch(ContainerId),
    /// Count the end of the agent, which has answered, as the instance's.
    WatchAgent(u64),
    /// Show that the instance is isolated. [`Answer::Text`].
    Prove(u64),
    /// Make the socket of its way out; the listening descriptor comes with the answer.
    Egress(u64),
    /// Remember which start of the agent this is.
    Remember {
        /// The instance.
        instance: u64,
        /// The agent's boot id.
        boot_id: String,
    },
    /// How often memory ran out. [`Answer::Count`].
    OutOfMemory(u64),
    /// The last lines that its start wrote. [`Answer::Text`].
    LastWords(u64),
    /// End it.
    Kill(u64),
    /// Delete the volume of a container that does not run.
    RemoveVolume(ContainerId),
    /// Containers that this machine has something of, in their order, after this one. [`Answer::Containers`].
    Known(Option<ContainerId>),
    /// Start the vault process and the redactor, and keep them running; answered when they answer.
    StartVault {
        /// Whether it may make a master secret where there is none.
        create_master: bool,
    },
    /// End the two.
    StopVault,
}

/// A request and its number.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// Chosen by who asks.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What comes back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// To a question.
    Answer {
        /// The question's number.
        id: u64,
        /// What came of it.
        result: Result<Answer, Problem>,
    },
    /// An instance has ended.
    Ended {
        /// Which.
        instance: u64,
        /// How.
        how: Ended,
    },
}

/// What came of a request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// There is nothing.
    None,
    /// For people.
    Text(String),
    /// A number.
    Count(u64),
    /// A running container.
    Instance(Started),
    /// At most [`PAGE`](super::PAGE).
    Containers(Vec<ContainerId>),
}

/// A running container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Started {
    /// Its number, while this launcher lives.
    pub instance: u64,
    /// The folder with the agent's socket.
    pub folder: PathBuf,
    /// The socket's name.
    pub socket: String,
    /// The agent's boot id, when an earlier server noted one.
    pub boot_id: Option<String>,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its first process returned this code.
    Code(i32),
    /// Its first process was ended by this signal.
    Signal(i32),
    /// Nobody saw it: it was started by an earlier server, or the launcher has ended.
    Unknown,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("nobody saw how"),
        }
    }
}

/// Why something was not done.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A person has to change something of the machine.
    #[error("{0}")]
    Machine(String),
    /// The container could not be shown to be isolated.
    #[error("{0}")]
    Unproven(String),
    /// It did not work this time.
    #[error("{0}")]
    Failed(String),
}

impl Problem {
    /// Because of `error`.
    pub fn failed(error: &impl ToString) -> Self {
        Self::Failed(error.to_string())
    }

    /// The launcher is gone.
    pub fn ended() -> Self {
        Self::Failed("the process that starts containers has ended; restart the server".to_owned())
    }
}
