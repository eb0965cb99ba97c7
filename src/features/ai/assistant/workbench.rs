//! What the tools need of a container: the few operations of its agent, so that tests can do without one.
//!
//! Paths are relative to the container's home here; [`super::path`] has put the project's folder in front.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use optidev_agent::wire;

use crate::clients::agent::{Agent, AgentError};

/// Largest file that the tools read or change.
pub const LARGEST_FILE: usize = 4 << 20;

/// The agent's answer.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, AgentError>>;

/// A place where the tools work.
pub trait Workbench: Send + Sync + 'static {
    /// What is in a folder.
    fn list<'a>(&'a self, path: &'a str) -> Answer<'a, wire::Listing>;
    /// A file's content and entity tag; `None` when it is not there.
    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<(Bytes, String)>>;
    /// Writes a file that still has the tag `expected`, or is not there yet; gives the new tag.
    fn write<'a>(
        &'a self,
        path: &'a str,
        content: Bytes,
        expected: Option<&'a str>,
    ) -> Answer<'a, String>;
    /// Deletes a file.
    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, ()>;
    /// Lines that match.
    fn search<'a>(&'a self, query: &'a wire::SearchQuery) -> Answer<'a, wire::SearchResult>;
    /// Runs a command to its end; dropping the future ends the command.
    fn run<'a>(&'a self, request: &'a wire::ExecRequest) -> Answer<'a, wire::ExecResult>;
}

impl Workbench for Agent {
    fn list<'a>(&'a self, path: &'a str) -> Answer<'a, wire::Listing> {
        Box::pin(Agent::list(self, path))
    }

    fn read<'a>(&'a self, path: &'a str) -> Answer<'a, Option<(Bytes, String)>> {
        Box::pin(self.read_file(path, LARGEST_FILE))
    }

    fn write<'a>(
        &'a self,
        path: &'a str,
        content: Bytes,
        expected: Option<&'a str>,
    ) -> Answer<'a, String> {
        Box::pin(async move { Ok(self.write_file(path, content, Some(expected)).await?.etag) })
    }

    fn delete<'a>(&'a self, path: &'a str) -> Answer<'a, ()> {
        Box::pin(self.delete_file(path, false))
    }

    fn search<'a>(&'a self, query: &'a wire::SearchQuery) -> Answer<'a, wire::SearchResult> {
        Box::pin(Agent::search(self, query))
    }

    fn run<'a>(&'a self, request: &'a wire::ExecRequest) -> Answer<'a, wire::ExecResult> {
        Box::pin(self.exec(request))
    }
}

/// What an error of the agent means, in a sentence for the model and the person.
pub fn sentence(error: &AgentError) -> String {
    match error {
        AgentError::Refused { detail, .. } => detail.clone(),
        AgentError::NotRunning => "The container is not running.".to_owned(),
        AgentError::Timeout(limit) => format!("The container did not answer within {limit} ms."),
        AgentError::Connect(_) => {
            "The container does not answer; it may have been stopped.".to_owned()
        }
        AgentError::Protocol(_) => {
            "The container gave an answer that is not understood.".to_owned()
        }
    }
}
