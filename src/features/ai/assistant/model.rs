//! What a conversation looks like from outside: sessions, events, decisions. The shapes of the API.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kernel::{AssistantSessionId, ContainerId, ProjectId, TurnId};

/// Whether the assistant can be used in this installation.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AiStatus {
    /// True when messages can be sent.
    pub ready: bool,
    /// The setting to make when it is not ready; null when nothing is missing.
    pub missing_setting: Option<&'static str>,
    /// The model that answers.
    pub model: String,
}

/// A conversation.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Session {
    /// Its id.
    pub id: AssistantSessionId,
    /// The project that it is about.
    pub project_id: ProjectId,
    /// The container in which its tools act.
    pub container_id: ContainerId,
    /// The beginning of the first message; empty before it.
    pub title: String,
    /// Since when, milliseconds since the epoch.
    pub created_at_ms: i64,
    /// What it is doing.
    pub state: State,
}

/// What a session is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SessionState)]
pub enum State {
    /// Nothing; it takes a message.
    Idle,
    /// Writing an answer or using a tool.
    Working,
    /// Waiting for a decision about a call.
    Waiting,
}

/// A tool of the assistant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// What is in a folder.
    List,
    /// A file's text.
    Read,
    /// Lines that match.
    Search,
    /// A whole file.
    Write,
    /// A part of a file.
    Edit,
    /// A command.
    Run,
}

impl Tool {
    /// The tool of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "list" => Self::List,
            "read" => Self::Read,
            "search" => Self::Search,
            "write" => Self::Write,
            "edit" => Self::Edit,
            "run" => Self::Run,
            _ => return None,
        })
    }

    /// The word of `allowed_tools` under which the tool need not ask; `None` for tools that never ask.
    pub fn permission(self) -> Option<&'static str> {
        match self {
            Self::List | Self::Read | Self::Search => None,
            Self::Write | Self::Edit => Some("write"),
            Self::Run => Some("run"),
        }
    }
}

/// What a new session may do without asking: changes of files, because each shows as a diff and can be undone.
pub const ALLOWED_AT_FIRST: &str = "write";

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// For the user's decision.
    Waiting,
    /// At work.
    Running,
    /// It worked.
    Done,
    /// The user said no.
    Denied,
    /// It did not work; the output says why.
    Failed,
}

/// The user's decision about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CallVerdict)]
pub enum Verdict {
    /// This once.
    Allow,
    /// This and all later ones of its kind in this session.
    AllowAlways,
    /// No.
    Deny,
}

/// Something that happened in a session. Replayed in order, the events give the whole page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// The turn that it belongs to.
    pub turn: TurnId,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    /// The user's message; a turn begins.
    User {
        /// As written.
        text: String,
    },
    /// More of the assistant's text.
    Text {
        /// To be appended.
        delta: String,
    },
    /// A tool call, or a change of its state.
    Call {
        /// Names the call in decisions; the same for all its states.
        call_id: String,
        /// Which tool; a name that no tool has is shown too.
        tool: String,
        /// Its arguments.
        #[schema(value_type = Object)]
        input: Value,
        /// How far it is.
        state: CallState,
        /// What came out, cut when long; null before the end.
        output: Option<String>,
    },
    /// A file was changed.
    Diff {
        /// The call that changed it.
        call_id: String,
        /// Relative to the project's folder.
        path: String,
        /// Unified, cut when long.
        diff: String,
        /// The file was not there before.
        created: bool,
    },
    /// The turn ended.
    Done {
        /// The model's word, or `stopped`, `error`, `round_limit`, `interrupted`.
        stop_reason: String,
        /// Tokens read, cached ones included.
        input_tokens: u64,
        /// Tokens written.
        output_tokens: u64,
        /// Files that undoing the turn would restore.
        files: Vec<String>,
    },
    /// Something went wrong; `done` follows.
    Error {
        /// For the user.
        message: String,
    },
    /// The turn was undone.
    Undone {
        /// The files that were restored.
        files: Vec<String>,
    },
}

/// An event with its place in the session.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    /// Ascending; there may be gaps.
    pub sequence: i64,
    /// When.
    pub at_ms: i64,
    /// What.
    pub event: Event,
}
