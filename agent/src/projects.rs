//! Project folders: imported from an archive, cloned, or made empty; and downloaded as one.
//!
//! Always holds: a project folder appears whole, by one rename, or not at all.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use futures_util::StreamExt as _;
use rustix::fs::{Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::app::{App, State as AppState, blocking};
use crate::archive::{self, ArchiveError, Format, Limits};
use crate::exec::{COMMANDS_MAX, Capture, busy};
use crate::extract::{JsonBody, Params};
use crate::home::{Place, RelPath, lstat};
use crate::problem::{Problem, shown};
use crate::processes::{self, Group};
use crate::scratch::{self, Temporary, is_scratch};
use crate::wire::{CloneRequest, FolderRequest, ImportQuery, Imported, PathAnswer, PathQuery};

const CLONE_TIMEOUT: Duration = Duration::from_secs(900);
/// How git may fetch; `ext::` and the like would run commands.
const GIT_PROTOCOLS: &str = "https:http:git:ssh:file";

pub fn routes() -> Router<App> {
    Router::new()
        .route("/v1/import", routing::put(import))
        .route("/v1/clone", routing::post(clone))
        .route("/v1/mkproject", routing::post(mkproject))
        .route("/v1/archive", routing::get(download))
}

/// The place of a new project folder; its parents are made. 409 when something is there.
fn vacant(app: &AppState, folder: &str) -> Result<Place, Problem> {
    let path = RelPath::parse_below(folder, "make a project of")?;
    if let Some((parent, _)) = path.split_last() {
        app.home.make_folders(parent, "make")?;
    }
    let place = app.home.place(&path, "make")?;
    match lstat(place.dir.as_fd(), &place.name) {
        Ok(None) => Ok(place),
        Ok(Some(_)) => Err(Problem::from_errno("make", folder, Errno::EXIST)),
        Err(errno) => Err(Problem::from_errno("make", folder, errno)),
    }
}

async fn mkproject(
    State(app): State<App>,
    JsonBody(FolderRequest { folder }): JsonBody<FolderRequest>,
) -> Result<Response, Problem> {
    app.activity.touch();
    blocking(move || {
        let place = vacant(&app, &folder)?;
        mkdirat(
            &place.dir,
            place.name.as_os_str(),
            Mode::from_raw_mode(0o755),
        )
        .map_err(|errno| Problem::from_errno("make", &folder, errno))?;
        Ok((StatusCode::CREATED, Json(PathAnswer { path: folder })).into_response())
    })
    .await
}

async fn import(
    State(app): State<App>,
    Params(query): Params<ImportQuery>,
    body: Body,
) -> Result<Json<Imported>, Problem> {
    let format: Format = query.format.parse().map_err(|error| refused(&error))?;
    let _running = app.activity.command(COMMANDS_MAX).ok_or_else(busy)?;
    let (opener, folder) = (app.clone(), query.folder.clone());
    let (place, file) = blocking(move || {
        let place = vacant(&opener, &folder)?;
        let file = scratch::unnamed(&opener.state)
            .map_err(|error| Problem::from_io("receive the archive for", &folder, &error))?;
        Ok((place, file))
    })
    .await?;
    let (file, size) = receive(file, body, &query.folder).await?;
    let limits = Limits::of(size);
    blocking(move || unpack(&app, &place, file, format, &limits, &query.folder).map(Json)).await
}

/// Takes all that comes, and says how much it was: only the server sends here, which has counted it when it was uploaded.
async fn receive(file: File, body: Body, folder: &str) -> Result<(File, u64), Problem> {
    let fail = |error: io::Error| Problem::from_io("receive the archive for", folder, &error);
    let mut file = tokio::fs::File::from_std(file);
    let mut stream = body.into_data_stream();
    let mut size = 0_u64;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::bad_request(format!(
                "The upload ended early ({error}); nothing was made."
            ))
        })?;
        size = size.saturating_add(chunk.len() as u64);
        file.write_all(&chunk).await.map_err(fail)?;
    }
    file.flush().await.map_err(fail)?;
    Ok((file.into_std().await, size))
}

fn refused(error: &ArchiveError) -> Problem {
    match error {
        ArchiveError::Write { error: cause, .. } if cause.raw_os_error().is_some() => {
            Problem::from_io("unpack the archive into", "", cause)
        }
        ArchiveError::Write { .. } => Problem::internal(error.to_string()),
        ArchiveError::Format(_) => Problem::bad_request(error.to_string()),
        _ => Problem::unprocessable(error.to_string()),
    }
}

fn unpack(
    app: &AppState,
    place: &Place,
    file: File,
    format: Format,
    limits: &Limits,
    folder: &str,
) -> Result<Imported, Problem> {
    let fail = |errno| Problem::from_errno("make", folder, errno);
    let (temporary, root) = app
        .scratch
        .folder(place.dir.as_fd(), &place.dir_path, "import")
        .map_err(|error| Problem::from_io("make", folder, &error))?;
    let summary =
        archive::extract(file, format, limits, root.as_fd()).map_err(|error| refused(&error))?;
    match &summary.root {
        // The archive's one folder becomes the project; its temporary parent goes.
        Some(top) => renameat_with(
            &root,
            top.as_str(),
            &place.dir,
            place.name.as_os_str(),
            RenameFlags::NOREPLACE,
        )
        .map_err(fail)?,
        None => finish(temporary, place, folder)?,
    }
    Ok(Imported {
        entries: summary.entries,
        bytes: summary.bytes,
    })
}

fn finish(temporary: Temporary, place: &Place, folder: &str) -> Result<(), Problem> {
    temporary
        .rename(place.dir.as_fd(), &place.name, false)
        .map_err(|errno| Problem::from_errno("make", folder, errno))
}

async fn clone(
    State(app): State<App>,
    JsonBody(request): JsonBody<CloneRequest>,
) -> Result<Json<serde_json::Map<String, serde_json::Value>>, Problem> {
    check_git("url", &request.url)?;
    if let Some(branch) = &request.branch {
        check_git("branch", branch)?;
    }
    let _running = app.activity.command(COMMANDS_MAX).ok_or_else(busy)?;
    let (maker, folder) = (app.clone(), request.folder.clone());
    let (place, temporary, root) = blocking(move || {
        let place = vacant(&maker, &folder)?;
        let (temporary, root) = maker
            .scratch
            .folder(place.dir.as_fd(), &place.dir_path, "clone")
            .map_err(|error| Problem::from_io("make", &folder, &error))?;
        Ok((place, temporary, root))
    })
    .await?;
    let working = processes::Folder::from_fd(root);
    run_git(&app, &request, &working).await?;
    blocking(move || finish(temporary, &place, &request.folder)).await?;
    Ok(Json(serde_json::Map::new()))
}

fn check_git(what: &str, value: &str) -> Result<(), Problem> {
    if value.is_empty() || value.starts_with('-') || value.contains(|c: char| c.is_control()) {
        return Err(Problem::bad_request(format!(
            "{} cannot be the {what} of a clone; give a plain one.",
            shown(value)
        )));
    }
    Ok(())
}

async fn run_git(
    app: &App,
    request: &CloneRequest,
    working: &processes::Folder,
) -> Result<(), Problem> {
    let mut command = Command::new("git");
    command.args(["-c", "core.hooksPath=/dev/null", "clone"]);
    if let Some(branch) = &request.branch {
        command.args(["--branch", branch]);
    }
    // Git works in a folder with a name for the time being: what counts is the project that comes of it.
    let project = processes::project_of(Path::new(&request.folder));
    let mut child = command
        .args(["--", &request.url, "."])
        .env_clear()
        .envs(processes::environment(app, project)?)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", GIT_PROTOCOLS)
        .env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
        .current_dir(working.path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            Problem::unprocessable(format!("git cannot be run in this container: {error}."))
        })?;
    let mut group = Group::of(child.id());
    let mut said = Capture::default();
    let errors = child.stderr.take();
    let ended = tokio::time::timeout(CLONE_TIMEOUT, async {
        said.fill(errors).await;
        child.wait().await
    })
    .await;
    match ended {
        Ok(Ok(status)) => {
            group.forget();
            if status.success() {
                return Ok(());
            }
            let (text, _) = said.finish();
            let mut lines: Vec<_> = text.trim().lines().rev().take(6).collect();
            lines.reverse();
            Err(Problem::unprocessable(format!(
                "git could not clone {}: {}",
                shown(&request.url),
                lines.join("\n")
            )))
        }
        Ok(Err(error)) => Err(Problem::internal(format!(
            "Waiting for git failed: {error}"
        ))),
        Err(_) => Err(Problem::unprocessable(format!(
            "git did not finish cloning {} within {} s; clone it in a terminal.",
            shown(&request.url),
            CLONE_TIMEOUT.as_secs()
        ))),
    }
}

async fn download(
    State(app): State<App>,
    Params(query): Params<PathQuery>,
) -> Result<Response, Problem> {
    app.activity.touch();
    let path = RelPath::parse(&query.path)?;
    let opened = path.clone();
    let folder = blocking(move || {
        let folder = app.home.folder(&opened, "download")?;
        // A descriptor of its own: reading a folder moves its position.
        openat(
            &folder,
            ".",
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|errno| Problem::from_errno("download", opened.as_str(), errno))
    })
    .await?;
    let name = path
        .split_last()
        .map_or("home", |(_, name)| name)
        .to_owned();
    let disposition = disposition(&name);
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        let chunks = Chunks {
            buffer: Vec::new(),
            sender: sender.clone(),
        };
        let packed = archive::pack(folder.as_fd(), Path::new(&name), is_scratch, chunks)
            .and_then(|mut chunks| chunks.flush());
        if let Err(error) = packed {
            // Breaks the transfer off, so that nobody takes half an archive for a whole one.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/gzip"),
        ),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// RFC 6266, with the name reduced to what needs no quoting.
fn disposition(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{plain}.tar.gz\""))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

/// Hands what is written on in chunks of 64 KiB; fails when the client is gone.
struct Chunks {
    buffer: Vec<u8>,
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 64 << 10 {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.buffer);
        if chunk.is_empty() {
            return Ok(());
        }
        self.sender
            .blocking_send(Ok(chunk.into()))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
