//! From the model's arguments to a job: what a call asks for, with its paths confined. Pure.

use optidev_agent::wire::SearchQuery;
use serde::Deserialize;
use serde_json::Value;

use super::model::Tool;
use super::path::ProjectPath;
use super::workbench::LARGEST_FILE;

/// Most lines of a file in one read.
const LINES: usize = 2_000;
/// Most lines that a search gives.
const MATCHES: usize = 150;

/// A call whose arguments are understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    /// What is in a folder.
    List(ProjectPath),
    /// Lines of a file.
    Read {
        /// Which file.
        path: ProjectPath,
        /// First line, from 1.
        offset: usize,
        /// Number of lines.
        limit: usize,
    },
    /// Lines that match.
    Search {
        /// Where.
        path: ProjectPath,
        /// What.
        query: SearchQuery,
    },
    /// A whole file.
    Write {
        /// Which file.
        path: ProjectPath,
        /// Its new content.
        content: String,
    },
    /// A part of a file.
    Edit {
        /// Which file.
        path: ProjectPath,
        /// What goes.
        old: String,
        /// What comes.
        new: String,
        /// Wherever it stands.
        every: bool,
    },
    /// A command.
    Run {
        /// For `sh -c`.
        command: String,
        /// Its limit.
        timeout_ms: u64,
    },
}

#[derive(Deserialize)]
struct PathInput {
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
struct ReadInput {
    path: String,
    offset: Option<usize>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct SearchInput {
    query: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    regex: bool,
    #[serde(default)]
    case_sensitive: bool,
    glob: Option<String>,
}

#[derive(Deserialize)]
struct WriteInput {
    path: String,
    content: String,
}

#[derive(Deserialize)]
struct EditInput {
    path: String,
    old_text: String,
    new_text: String,
    #[serde(default)]
    replace_all: bool,
}

#[derive(Deserialize)]
struct RunInput {
    command: String,
    timeout_seconds: Option<u64>,
}

impl Job {
    /// Reads a call.
    ///
    /// # Errors
    /// A sentence for the model: no such tool, arguments that do not fit, a path that leads out.
    pub fn parse(folder: &str, name: &str, input: Option<&Value>) -> Result<(Tool, Self), String> {
        let tool = Tool::from_name(name).ok_or_else(|| {
            format!("There is no tool {name:?}. Use list, read, search, write, edit or run.")
        })?;
        let input = input
            .ok_or("The arguments of the call were cut off. Call again with less at a time.")?;
        let path = |text: &str| ProjectPath::parse(folder, text);
        let job = match tool {
            Tool::List => Self::List(path(&read::<PathInput>(input)?.path)?),
            Tool::Read => {
                let input: ReadInput = read(input)?;
                let limit = input.limit.unwrap_or(LINES).clamp(1, LINES);
                Self::Read {
                    path: path(&input.path)?,
                    offset: input.offset.unwrap_or(1).max(1),
                    limit,
                }
            }
            Tool::Search => {
                let input: SearchInput = read(input)?;
                let path = path(&input.path)?;
                let query = SearchQuery {
                    path: path.whole().to_owned(),
                    query: input.query,
                    regex: u8::from(input.regex),
                    case: u8::from(input.case_sensitive),
                    glob: input.glob,
                    limit: Some(MATCHES),
                };
                Self::Search { path, query }
            }
            Tool::Write => {
                let input: WriteInput = read(input)?;
                if input.content.len() > LARGEST_FILE {
                    return Err(format!(
                        "The content has more than {} MiB. Write less.",
                        LARGEST_FILE >> 20
                    ));
                }
                Self::Write {
                    path: file(path(&input.path)?)?,
                    content: input.content,
                }
            }
            Tool::Edit => {
                let input: EditInput = read(input)?;
                let path = file(path(&input.path)?)?;
                Self::Edit {
                    path,
                    old: input.old_text,
                    new: input.new_text,
                    every: input.replace_all,
                }
            }
            Tool::Run => {
                let input: RunInput = read(input)?;
                if input.command.trim().is_empty() {
                    return Err("The command is empty.".to_owned());
                }
                let timeout_ms = input.timeout_seconds.unwrap_or(120).clamp(1, 600) * 1_000;
                Self::Run {
                    command: input.command,
                    timeout_ms,
                }
            }
        };
        Ok((tool, job))
    }

    /// The path that the job touches, if it is about one.
    pub fn path(&self) -> Option<&ProjectPath> {
        match self {
            Self::List(path)
            | Self::Read { path, .. }
            | Self::Search { path, .. }
            | Self::Write { path, .. }
            | Self::Edit { path, .. } => Some(path),
            Self::Run { .. } => None,
        }
    }
}

fn read<'a, T: Deserialize<'a>>(input: &'a Value) -> Result<T, String> {
    T::deserialize(input).map_err(|error| format!("The arguments do not fit the tool: {error}."))
}

fn file(path: ProjectPath) -> Result<ProjectPath, String> {
    if path.is_folder_itself() {
        Err("The path names the project's folder, not a file.".to_owned())
    } else {
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_read_and_paths_confined() {
        let parse = |name: &str, input: Value| {
            Job::parse("projects/p", name, Some(&input)).map(|(_, job)| job)
        };
        let run = parse("run", json!({ "command": "ls", "timeout_seconds": 9_999 })).unwrap();
        assert_eq!(
            run,
            Job::Run {
                command: "ls".into(),
                timeout_ms: 600_000
            }
        );
        assert!(matches!(parse("list", json!({})), Ok(Job::List(path)) if path.is_folder_itself()));
        for (name, input) in [
            ("read", json!({ "path": "../other/a" })),
            ("write", json!({ "path": "/etc/passwd", "content": "" })),
            ("write", json!({ "path": ".", "content": "" })),
            ("edit", json!({ "path": "a", "old_text": "x" })),
            ("search", json!({ "query": "x", "path": "a/../../.." })),
            ("list", json!({ "path": ".." })),
            ("run", json!({ "command": "  " })),
            ("rm", json!({})),
            ("read", json!("a")),
        ] {
            assert!(parse(name, input.clone()).is_err(), "{name} {input}");
        }
        assert!(
            Job::parse("p", "read", None)
                .unwrap_err()
                .contains("cut off")
        );
    }
}
