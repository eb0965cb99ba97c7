//! What can go wrong between the server and an agent.

use optidev_agent::wire;

use crate::kernel::{Code, Problem};

/// Longest text of an agent that is passed on, in characters.
const LONGEST_DETAIL: usize = 600;

/// A request to an agent that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No agent is known for the container: it does not run.
    #[error("the container is not running")]
    NotRunning,
    /// The connection failed.
    #[error("the agent cannot be reached: {0}")]
    Connect(String),
    /// The answer did not come in time.
    #[error("the agent did not answer within {0} ms")]
    Timeout(u64),
    /// The agent refused.
    #[error("the agent answered {status}: {detail}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The agent's sentence for people.
        detail: String,
        /// The current entity tag, on 412.
        etag: Option<String>,
    },
    /// The answer is not what the protocol says.
    #[error("the agent's answer is not understood: {0}")]
    Protocol(String),
}

impl AgentError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether no agent was reached at all, so that nothing was done.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NotRunning | Self::Connect(_))
    }

    /// Reads an agent's refusal.
    pub(super) fn refused(status: u16, body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Refusal {
            detail: String,
            etag: Option<String>,
        }
        match serde_json::from_slice::<Refusal>(body) {
            Ok(refusal) => Self::Refused {
                status,
                detail: readable(&refusal.detail),
                etag: refusal.etag,
            },
            Err(_) => Self::Refused {
                status,
                detail: "The agent refused without saying why. Stop and start the container."
                    .to_owned(),
                etag: None,
            },
        }
    }
}

/// Text from a container as a person may see it: no control characters, not too long.
pub(super) fn readable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .take(LONGEST_DETAIL)
        .collect()
}

impl From<AgentError> for Problem {
    fn from(error: AgentError) -> Self {
        match error {
            AgentError::NotRunning => Problem::new(Code::Conflict, "The container is not running. Start it first."),
            AgentError::Connect(_) | AgentError::Timeout(_) => Problem::unavailable(
                "The container does not answer at the moment. Try again; if it stays so, stop and start the container.",
                error,
            ),
            AgentError::Refused { status, detail, .. } => Problem::new(code_of(status), detail),
            AgentError::Protocol(_) => Problem {
                code: Code::BadGateway,
                detail: "The container gave an answer that is not understood. Stop and start the container.".into(),
                cause: Some(error.to_string()),
                retry_after: None,
            },
        }
    }
}

/// The problem code for an agent's status.
fn code_of(status: u16) -> Code {
    match status {
        401 | 403 => Code::Forbidden,
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        409 => Code::Conflict,
        412 => Code::PreconditionFailed,
        413 | 507 => Code::TooLarge,
        415 => Code::UnsupportedMediaType,
        422 => Code::Unprocessable,
        429 => Code::RateLimited,
        400..=499 => Code::BadRequest,
        _ => Code::BadGateway,
    }
}

/// Whether `hello` names the protocol that this server speaks.
pub(super) fn check_protocol(hello: &wire::Hello) -> Result<(), AgentError> {
    if hello.protocol == wire::PROTOCOL {
        return Ok(());
    }
    Err(AgentError::Protocol(format!(
        "it speaks protocol {}, this server speaks {}",
        hello.protocol,
        wire::PROTOCOL
    )))
}
