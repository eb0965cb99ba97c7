//! The tools: from the model's arguments to a job, and the jobs that change no file.

use optidev_agent::wire::{ExecRequest, ExecResult, FileKind, SearchQuery};
use serde::Deserialize;
use serde_json::Value;

use super::model::Tool;
use super::path::ProjectPath;
use super::workbench::{LARGEST_FILE, Workbench, sentence};

/// Most bytes of a tool's output that the model gets.
pub const LONGEST_OUTPUT: usize = 30_000;
/// Most lines of a file in one read.
const LINES: usize = 2_000;
/// Most entries of a folder.
const ENTRIES: usize = 500;
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
        let tool = Tool::from_name(name)
            .ok_or_else(|| format!("There is no tool {name:?}. Use list, read, search, write, edit or run."))?;
        let input = input.ok_or("The arguments of the call were cut off. Call again with less at a time.")?;
        let path = |text: &str| ProjectPath::parse(folder, text);
        let job = match tool {
            Tool::List => Self::List(path(&read::<PathInput>(input)?.path)?),
            Tool::Read => {
                let input: ReadInput = read(input)?;
                let limit = input.limit.unwrap_or(LINES).clamp(1, LINES);
                Self::Read { path: path(&input.path)?, offset: input.offset.unwrap_or(1).max(1), limit }
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
                    return Err(format!("The content has more than {} MiB. Write less.", LARGEST_FILE >> 20));
                }
                Self::Write { path: file(path(&input.path)?)?, content: input.content }
            }
            Tool::Edit => {
                let input: EditInput = read(input)?;
                let path = file(path(&input.path)?)?;
                Self::Edit { path, old: input.old_text, new: input.new_text, every: input.replace_all }
            }
            Tool::Run => {
                let input: RunInput = read(input)?;
                if input.command.trim().is_empty() {
                    return Err("The command is empty.".to_owned());
                }
                let timeout_ms = input.timeout_seconds.unwrap_or(120).clamp(1, 600) * 1_000;
                Self::Run { command: input.command, timeout_ms }
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
    if path.is_folder_itself() { Err("The path names the project's folder, not a file.".to_owned()) } else { Ok(path) }
}

/// Does a job that changes no file by itself; gives the text for the model.
///
/// # Errors
/// A sentence for the model.
pub async fn perform(bench: &dyn Workbench, folder: &str, job: &Job) -> Result<String, String> {
    match job {
        Job::List(path) => list(bench, path).await,
        Job::Read { path, offset, limit } => {
            let (text, _) = text_file(bench, path).await?;
            Ok(lines(&text, *offset, *limit))
        }
        Job::Search { query, .. } => search(bench, folder, query).await,
        Job::Run { command, timeout_ms } => {
            let request = ExecRequest {
                command: vec!["sh".to_owned(), "-c".to_owned(), command.clone()],
                cwd: Some(folder.to_owned()),
                timeout_ms: Some(*timeout_ms),
                ..ExecRequest::default()
            };
            let result = bench.run(&request).await.map_err(|error| sentence(&error))?;
            report(&result)
        }
        Job::Write { .. } | Job::Edit { .. } => Err("This tool changes a file.".to_owned()),
    }
}

async fn list(bench: &dyn Workbench, path: &ProjectPath) -> Result<String, String> {
    let listing = bench.list(path.whole()).await.map_err(|error| sentence(&error))?;
    if listing.entries.is_empty() {
        return Ok("(an empty folder)".to_owned());
    }
    let mut out = String::new();
    for entry in listing.entries.iter().take(ENTRIES) {
        out.push_str(&match entry.kind {
            FileKind::Dir => format!("{}/\n", entry.name),
            FileKind::File => format!("{} ({} bytes)\n", entry.name, entry.size),
            FileKind::Symlink => format!("{} (link)\n", entry.name),
            FileKind::Other => format!("{} (special)\n", entry.name),
        });
    }
    if listing.entries.len() > ENTRIES || listing.truncated {
        out.push_str("... there is more in this folder than is listed ...\n");
    }
    Ok(shorten(&out))
}

/// A file's text and entity tag.
///
/// # Errors
/// A sentence: it is not there, too large, or no text.
pub async fn text_file(bench: &dyn Workbench, path: &ProjectPath) -> Result<(String, String), String> {
    let (content, etag) = bench
        .read(path.whole())
        .await
        .map_err(|error| sentence(&error))?
        .ok_or_else(|| format!("There is no file {:?}. List the folder to see what is there.", path.relative()))?;
    let text = String::from_utf8(content.into()).ok().filter(|text| !text.contains('\0'));
    let text = text.ok_or_else(|| format!("{:?} is not a text file, and the tools read text only.", path.relative()))?;
    Ok((text, etag))
}

/// Some lines of a text, with a note when there are more.
fn lines(text: &str, offset: usize, limit: usize) -> String {
    let total = text.lines().count();
    if text.is_empty() {
        return "(an empty file)".to_owned();
    }
    if offset > total {
        return format!("(the file has {total} lines)");
    }
    let mut out = String::new();
    let mut next = offset;
    for line in text.split_inclusive('\n').skip(offset - 1).take(limit) {
        if out.len() + line.len() > LONGEST_OUTPUT * 2 {
            if out.is_empty() {
                out.push_str(&shorten(line));
                next += 1;
            }
            break;
        }
        out.push_str(line);
        next += 1;
    }
    if next <= total {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("... lines {offset} to {} of {total}; read on with offset {next} ...\n", next - 1));
    }
    out
}

async fn search(bench: &dyn Workbench, folder: &str, query: &SearchQuery) -> Result<String, String> {
    let found = bench.search(query).await.map_err(|error| sentence(&error))?;
    if found.matches.is_empty() {
        return Ok(format!("Nothing found in {} files.", found.files_searched));
    }
    let mut out = String::new();
    for one in &found.matches {
        let path = one.path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&one.path);
        out.push_str(&format!("{path}:{}: {}\n", one.line, one.text));
    }
    if found.truncated {
        out.push_str("... there is more; search for something narrower ...\n");
    }
    Ok(shorten(&out))
}

/// What a command did. It failed when it said so by its exit code.
fn report(result: &ExecResult) -> Result<String, String> {
    let mut out = String::new();
    for (name, text, cut) in
        [("", &result.stdout, result.stdout_truncated), ("stderr:\n", &result.stderr, result.stderr_truncated)]
    {
        if text.is_empty() {
            continue;
        }
        out.push_str(name);
        out.push_str(text);
        if !text.ends_with('\n') {
            out.push('\n');
        }
        if cut {
            out.push_str("... the rest of this output was not kept ...\n");
        }
    }
    let mut out = shorten(&out);
    let end = match (result.timed_out, result.exit_code, result.signal) {
        (true, _, _) => format!("(ended after {} ms: the time limit)", result.duration_ms),
        (false, Some(code), _) => format!("(exit code {code})"),
        (false, None, Some(signal)) => format!("(ended by signal {signal})"),
        (false, None, None) => "(ended)".to_owned(),
    };
    out.push_str(&end);
    if result.exit_code == Some(0) && !result.timed_out { Ok(out) } else { Err(out) }
}

/// Beginning and end of a long text.
pub fn shorten(text: &str) -> String {
    if text.len() <= LONGEST_OUTPUT {
        return text.to_owned();
    }
    let mut head = LONGEST_OUTPUT / 2;
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    let mut tail = text.len() - LONGEST_OUTPUT / 2;
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let (head, tail, left) = (text.get(..head).unwrap_or(""), text.get(tail..).unwrap_or(""), tail - head);
    format!("{head}\n... {left} bytes in the middle are left out ...\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_read_and_paths_confined() {
        let parse = |name: &str, input: Value| Job::parse("projects/p", name, Some(&input)).map(|(_, job)| job);
        let run = parse("run", json!({ "command": "ls", "timeout_seconds": 9_999 })).unwrap();
        assert_eq!(run, Job::Run { command: "ls".into(), timeout_ms: 600_000 });
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
        assert!(Job::parse("p", "read", None).unwrap_err().contains("cut off"));
    }

    #[test]
    fn long_files_are_read_in_parts() {
        let text: String = (1..=3_000).map(|n| format!("line {n}\n")).collect();
        let first = lines(&text, 1, LINES);
        assert!(first.ends_with("line 2000\n... lines 1 to 2000 of 3000; read on with offset 2001 ...\n"), "{}", &first[first.len() - 100..]);
        assert!(lines(&text, 2_999, 10).ends_with("line 2999\nline 3000\n"));
        assert_eq!(lines(&text, 4_000, 1), "(the file has 3000 lines)");
        assert_eq!(lines("", 1, 1), "(an empty file)");
        let wide = format!("{}\nshort\n", "x".repeat(200_000));
        let cut = lines(&wide, 1, 10);
        assert!(cut.len() < 100_000 && cut.contains("read on with offset 2"));
    }

    #[test]
    fn output_keeps_head_and_tail() {
        let text = format!("begin{}end", "ü".repeat(50_000));
        let short = shorten(&text);
        assert!(short.len() < LONGEST_OUTPUT + 100 && short.starts_with("begin") && short.ends_with("end"));
        let failed = ExecResult { exit_code: Some(2), stderr: "no".into(), ..ExecResult::default() };
        assert_eq!(report(&failed), Err("stderr:\nno\n(exit code 2)".to_owned()));
        let slow = ExecResult { timed_out: true, duration_ms: 5, ..ExecResult::default() };
        assert!(report(&slow).unwrap_err().contains("time limit"));
    }
}
