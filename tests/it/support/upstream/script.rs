//! What a script consists of: turns of text and tool calls, and failures.

use std::time::Duration;

use serde_json::{Value, json};

/// The answer to one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A message of the assistant.
    Turn(Turn),
    /// An error in place of a message.
    Error(Failure),
}

impl From<Turn> for Reply {
    fn from(turn: Turn) -> Self {
        Self::Turn(turn)
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::Error(failure)
    }
}

/// A part of a message.
#[derive(Debug, Clone)]
pub enum Block {
    Text(String),
    ToolUse { name: String, input: Value },
}

/// One message of the assistant, and how it comes.
#[derive(Debug, Clone, Default)]
pub struct Turn {
    pub blocks: Vec<Block>,
    /// `end_turn`, or `tool_use` when there is a tool call, unless set.
    pub stop_reason: Option<String>,
    /// Time before each event of a stream, or before a whole answer.
    pub delay: Duration,
    /// The stream is cut into pieces of this many bytes, wherever that is; 0 sends event by event.
    pub chop: usize,
    /// A stream ends with this error event after so many events.
    pub breaks: Option<(usize, Failure)>,
    /// The connection closes after so many events.
    pub cut: Option<usize>,
}

impl Turn {
    /// A turn that says `text` and ends.
    pub fn text(text: &str) -> Self {
        Self::default().and_text(text)
    }

    /// A turn that calls a tool.
    pub fn tool(name: &str, input: Value) -> Self {
        Self::default().and_tool(name, input)
    }

    pub fn and_text(mut self, text: &str) -> Self {
        self.blocks.push(Block::Text(text.to_owned()));
        self
    }

    pub fn and_tool(mut self, name: &str, input: Value) -> Self {
        self.blocks.push(Block::ToolUse {
            name: name.to_owned(),
            input,
        });
        self
    }

    /// `max_tokens`, `refusal`, `pause_turn`...
    pub fn stopping(mut self, reason: &str) -> Self {
        self.stop_reason = Some(reason.to_owned());
        self
    }

    /// Slow: `delay` before each event.
    pub fn slowly(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// In pieces of `bytes`, which cut events and characters in two.
    pub fn chopped(mut self, bytes: usize) -> Self {
        self.chop = bytes;
        self
    }

    /// After `events` events an `error` event, as when the real API is overloaded in the middle.
    pub fn breaking_after(mut self, events: usize, failure: Failure) -> Self {
        self.breaks = Some((events, failure));
        self
    }

    /// After `events` events the connection is closed without a word.
    pub fn cut_after(mut self, events: usize) -> Self {
        self.cut = Some(events);
        self
    }

    pub(super) fn stop(&self) -> &str {
        let calls = self
            .blocks
            .iter()
            .any(|block| matches!(block, Block::ToolUse { .. }));
        self.stop_reason
            .as_deref()
            .unwrap_or(if calls { "tool_use" } else { "end_turn" })
    }
}

/// An error of the API.
#[derive(Debug, Clone)]
pub struct Failure {
    pub status: u16,
    pub kind: String,
    pub message: String,
    pub headers: Vec<(String, String)>,
}

impl Failure {
    pub fn new(status: u16, kind: &str, message: &str) -> Self {
        Self {
            status,
            kind: kind.to_owned(),
            message: message.to_owned(),
            headers: Vec::new(),
        }
    }

    /// 529, as when the API is overloaded.
    pub fn overloaded() -> Self {
        Self::new(529, "overloaded_error", "Overloaded")
    }

    /// 429 with `retry-after`.
    pub fn rate_limited(seconds: u64) -> Self {
        Self::new(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit",
        )
        .header("retry-after", &seconds.to_string())
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn body(&self) -> Value {
        json!({"type": "error", "error": {"type": self.kind, "message": self.message}, "request_id": "req_failed"})
    }
}
