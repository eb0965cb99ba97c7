//! `GET /v1/search`: text in files, honouring .gitignore.
//!
//! Always holds: the walk only proposes names; each file is opened beneath the searched folder
//! without following any link, so nothing outside can be shown. Left out: what .gitignore names,
//! `.git`, `node_modules`, binary files, files above 2 MiB.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Json, Router, routing};
use ignore::WalkBuilder;
use ignore::overrides::{Override, OverrideBuilder};
use regex::bytes::{Regex, RegexBuilder};
use rustix::fs::{OFlags, ResolveFlags};

use crate::app::{App, blocking};
use crate::extract::Params;
use crate::home::{RelPath, beneath, lossy};
use crate::problem::{Problem, shown};
use crate::scratch::is_scratch;
use crate::wire::{SearchMatch, SearchQuery, SearchResult};

const LIMIT: usize = 200;
const LIMIT_MAX: usize = 2000;
const FILE_MAX: u64 = 2 << 20;
const TIME_MAX: Duration = Duration::from_secs(10);
const QUERY_MAX: usize = 2000;
/// Characters of a line that are shown, and how many of them before the match.
const TEXT_MAX: usize = 400;
const TEXT_BEFORE: usize = 100;
/// A NUL this early means a binary file, as in git.
const BINARY_PROBE: usize = 8000;

pub fn routes() -> Router<App> {
    Router::new().route("/v1/search", routing::get(search))
}

/// Tells the worker that nobody waits any more.
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

async fn search(
    State(app): State<App>,
    Params(query): Params<SearchQuery>,
) -> Result<Json<SearchResult>, Problem> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let _cancel = Cancel(Arc::clone(&cancelled));
    blocking(move || Search::new(&app, &query, cancelled)?.run())
        .await
        .map(Json)
}

struct Search {
    folder: OwnedFd,
    path: RelPath,
    root: std::path::PathBuf,
    pattern: Regex,
    globs: Override,
    limit: usize,
    deadline: Instant,
    cancelled: Arc<AtomicBool>,
    result: SearchResult,
}

impl Search {
    fn new(app: &App, query: &SearchQuery, cancelled: Arc<AtomicBool>) -> Result<Self, Problem> {
        let path = RelPath::parse(&query.path)?;
        let folder = app.home.folder(&path, "search")?;
        let root = app.home.path().join(path.as_str());
        let limit = query.limit.unwrap_or(LIMIT);
        if limit == 0 || limit > LIMIT_MAX {
            return Err(Problem::bad_request(format!(
                "limit is {limit}; use 1 to {LIMIT_MAX}."
            )));
        }
        Ok(Self {
            folder,
            pattern: pattern(query)?,
            globs: globs(&root, query.glob.as_deref())?,
            path,
            root,
            limit,
            deadline: Instant::now() + TIME_MAX,
            cancelled,
            result: SearchResult::default(),
        })
    }

    fn over(&mut self) -> bool {
        let over = self.result.matches.len() >= self.limit
            || Instant::now() >= self.deadline
            || self.cancelled.load(Ordering::Relaxed);
        self.result.truncated |= over;
        over
    }

    fn run(mut self) -> Result<SearchResult, Problem> {
        let walk = WalkBuilder::new(&self.root)
            .follow_links(false)
            .hidden(false)
            // A .gitignore counts outside of git repositories too.
            .require_git(false)
            .git_global(false)
            .overrides(self.globs.clone())
            .sort_by_file_name(std::ffi::OsStr::cmp)
            .filter_entry(|entry| {
                let name = entry.file_name();
                entry.depth() == 0
                    || !(name == ".git" || name == "node_modules" || is_scratch(name.as_bytes()))
            })
            .build();
        for entry in walk {
            if self.over() {
                break;
            }
            // Unreadable folders are passed over, as grep -s does.
            let Ok(entry) = entry else { continue };
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let Ok(below) = entry.path().strip_prefix(&self.root) else {
                continue;
            };
            if let Some(content) = self.content(below) {
                self.result.files_searched += 1;
                self.lines(below, &content);
            }
        }
        Ok(self.result)
    }

    /// `None` for what is not searched.
    fn content(&self, below: &Path) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = beneath(self.folder.as_fd(), below, flags, ResolveFlags::NO_SYMLINKS).ok()?;
        let file = File::from(fd);
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > FILE_MAX {
            return None;
        }
        let mut content = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
        file.take(FILE_MAX).read_to_end(&mut content).ok()?;
        let probe = content.get(..BINARY_PROBE).unwrap_or(&content);
        (!probe.contains(&0)).then_some(content)
    }

    fn lines(&mut self, below: &Path, content: &[u8]) {
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            // Long files must not outlast the time allowed either.
            if index % 1024 == 1023 && self.over() {
                return;
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(found) = self.pattern.find(line) else {
                continue;
            };
            if self.result.matches.len() >= self.limit {
                self.result.truncated = true;
                return;
            }
            let before = String::from_utf8_lossy(line.get(..found.start()).unwrap_or_default());
            let column = before.chars().count();
            let text = String::from_utf8_lossy(line);
            let skipped = if text.chars().count() > TEXT_MAX {
                column.saturating_sub(TEXT_BEFORE)
            } else {
                0
            };
            let path = Path::new(self.path.as_str()).join(below);
            self.result.matches.push(SearchMatch {
                path: lossy(path.as_os_str()),
                line: index as u64 + 1,
                column: column as u64 + 1,
                text: text.chars().skip(skipped).take(TEXT_MAX).collect(),
            });
        }
    }
}

fn pattern(query: &SearchQuery) -> Result<Regex, Problem> {
    if query.query.is_empty() || query.query.len() > QUERY_MAX {
        return Err(Problem::bad_request(format!(
            "\"query\" needs 1 to {QUERY_MAX} bytes; it has {}.",
            query.query.len()
        )));
    }
    let text = if query.regex == 1 {
        query.query.clone()
    } else {
        regex::escape(&query.query)
    };
    RegexBuilder::new(&text)
        .case_insensitive(query.case != 1)
        .size_limit(1 << 20)
        .dfa_size_limit(2 << 20)
        .build()
        .map_err(|error| {
            Problem::bad_request(format!(
                "The regular expression {} is not valid: {error}. Search with regex=0 for the plain text.",
                shown(&query.query)
            ))
        })
}

fn globs(root: &Path, list: Option<&str>) -> Result<Override, Problem> {
    let fail = |error: &ignore::Error| {
        Problem::bad_request(format!(
            "The glob {} is not valid: {error}.",
            shown(list.unwrap_or_default())
        ))
    };
    let mut builder = OverrideBuilder::new(root);
    for glob in list
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|glob| !glob.is_empty())
    {
        builder.add(glob).map_err(|error| fail(&error))?;
    }
    builder.build().map_err(|error| fail(&error))
}
