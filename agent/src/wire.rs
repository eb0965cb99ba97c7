//! The JSON shapes of agent protocol v1, shared by the agent and the server.
//!
//! Always holds: every body that crosses the agent's socket is one of these types, so both ends
//! agree by construction. Times are milliseconds since the epoch (`_ms`). Paths are relative to
//! the container's home, `/`-separated, without a leading slash; the empty path is the home.
//!
//! Must not import anything else of this crate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod isolation;
pub use isolation::*;

/// The protocol number in [`Hello`]; a server refuses an agent with another one.
pub const PROTOCOL: u32 = 1;

/// The `Upgrade` token of a port tunnel.
pub const TUNNEL_UPGRADE: &str = "optidev-tunnel";

/// A page of things. Agent lists are short and never have a next page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct List<T> {
    pub items: Vec<T>,
    #[serde(default)]
    pub next: Option<String>,
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// `GET /v1/hello`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    pub version: String,
    /// Random for each start of the agent, 32 hex digits.
    pub boot_id: String,
    /// X25519 public key, 32 bytes, standard base64; lives as long as `boot_id`.
    pub hpke_public_key: String,
    pub started_at_ms: i64,
    /// Absent where the runtime itself leaves no network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
}

/// `PUT /v1/environment`: everything that is delivered. It takes the place of all that was delivered before, or nothing
/// of it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// For processes outside of every project that is named below.
    pub workspace: Context,
    /// For processes below `projects/<folder>`, by the folder's name.
    #[serde(default)]
    pub projects: BTreeMap<String, Context>,
}

/// What processes in one place get: a JSON object of names and values, sealed to [`Hello::hpke_public_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    pub sealed: Sealed,
    /// The HPKE `info` string; it must be the one that was used for sealing.
    pub info: String,
    /// Those of its names that are files as well as variables, or instead of them.
    #[serde(default)]
    pub files: BTreeMap<String, FileForm>,
}

/// How a value that is a file is given to processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileForm {
    /// As a file alone; the variable `NAME_FILE` says where it is.
    File,
    /// As a file and as a variable.
    Both,
}

/// An HPKE base-mode message (RFC 9180), both parts standard base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub enc: String,
    pub ciphertext: String,
}

/// `GET /v1/activity`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    pub last_activity_ms: i64,
    /// Terminals with a living shell.
    pub terminals: u32,
    /// Commands that run now (exec, clone).
    pub commands: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    Dir,
    File,
    Symlink,
    Other,
}

/// `GET /v1/files/{path}?list=1`: folders first, then by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Listing {
    pub path: String,
    pub entries: Vec<Entry>,
    /// The folder has more than the 10,000 entries which are listed.
    #[serde(default)]
    pub truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Entry {
    pub name: String,
    pub kind: FileKind,
    pub size: u64,
    pub modified_ms: i64,
    /// Permission bits, e.g. `0o644`.
    pub mode: u32,
    /// What a symlink leads to; absent when it is broken or leaves the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_kind: Option<FileKind>,
}

/// The answer to a write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Written {
    pub path: String,
    pub size: u64,
    /// Without quotes; the `ETag` header has them.
    pub etag: String,
}

/// `?list=1`, `?parents=1`, `?action=`, `?recursive=1` of `/v1/files`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parents: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recursive: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<FileAction>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FileAction {
    Mkdir,
    Move,
}

/// Body of `?action=move`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MoveRequest {
    pub to: String,
    #[serde(default)]
    pub overwrite: bool,
}

/// The answer to mkdir, mkproject and move: where the thing is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PathAnswer {
    pub path: String,
}

/// `GET /v1/search`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchQuery {
    #[serde(default)]
    pub path: String,
    pub query: String,
    /// 1: `query` is a regular expression (Rust `regex` syntax), matched line by line.
    #[serde(default)]
    pub regex: u8,
    /// 1: upper and lower case differ.
    #[serde(default)]
    pub case: u8,
    /// Comma-separated gitignore-style globs, e.g. `*.rs,!tests/**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glob: Option<String>,
    /// 1 to 2,000; 200 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SearchResult {
    pub matches: Vec<SearchMatch>,
    /// The limit or the time allowed (10 s) was reached: there may be more.
    pub truncated: bool,
    pub files_searched: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct SearchMatch {
    pub path: String,
    /// From 1.
    pub line: u64,
    /// From 1, in Unicode characters; of the first match in the line.
    pub column: u64,
    /// The line, cut to 400 characters around the match.
    pub text: String,
}

/// One `event: change` of `GET /v1/watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub path: String,
    pub kind: ChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    Created,
    Modified,
    Removed,
    /// Changes were lost: read again what is shown.
    Overflow,
}

/// `?path=` of watch and archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathQuery {
    #[serde(default)]
    pub path: String,
}

/// A terminal. Sequence numbers count bytes of output since its creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Terminal {
    pub id: String,
    pub title: String,
    pub cols: u16,
    pub rows: u16,
    /// A shell runs. False with `exit_status: null` means that the agent was restarted:
    /// connecting starts a new shell.
    pub alive: bool,
    /// Exit code of the shell, or 128 + signal.
    pub exit_status: Option<i32>,
    /// First byte which is still kept.
    pub first: u64,
    /// The number that the next byte of output will have.
    pub next: u64,
    pub created_at_ms: i64,
}

/// `POST /v1/terminals`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NewTerminal {
    pub cols: u16,
    pub rows: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// `?after=` of the terminal's WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// Text frames from the agent on a terminal's WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TerminalEvent {
    Hello {
        first: u64,
        next: u64,
        cols: u16,
        rows: u16,
        alive: bool,
    },
    /// Bytes `from..to` are no longer kept.
    Gap {
        from: u64,
        to: u64,
    },
    Exit {
        status: i32,
    },
}

/// Text frames to the agent on a terminal's WebSocket; binary frames are raw input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum TerminalCommand {
    Input { data: String },
    Resize { cols: u16, rows: u16 },
}

/// A binary frame: the sequence number of its first byte (big-endian), then output.
#[must_use]
pub fn encode_output(sequence: u64, output: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(8 + output.len());
    frame.extend_from_slice(&sequence.to_be_bytes());
    frame.extend_from_slice(output);
    frame
}

/// The reverse of [`encode_output`]; `None` when the frame is too short.
#[must_use]
pub fn decode_output(frame: &[u8]) -> Option<(u64, &[u8])> {
    let (sequence, output) = frame.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*sequence), output))
}

/// `POST /v1/exec`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExecRequest {
    pub command: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// 120,000 unless given; at most 3,600,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Output is cut to the first MiB of each stream; bytes that are not UTF-8 are replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ExecResult {
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub stdout_truncated: bool,
    pub stderr_truncated: bool,
    pub timed_out: bool,
    pub duration_ms: i64,
}

/// A listening TCP port inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Port {
    pub port: u16,
    pub address: String,
    pub process: Option<String>,
}

/// `PUT /v1/import`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportQuery {
    pub folder: String,
    /// `tar.gz` or `zip`
    pub format: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    pub entries: u64,
    pub bytes: u64,
}

/// `POST /v1/clone`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloneRequest {
    pub folder: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// `POST /v1/mkproject`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRequest {
    pub folder: String,
}
