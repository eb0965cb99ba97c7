//! Writing a file: old or new content after any crash, never half.
//!
//! The body goes to a temporary file in the same folder; it is synced, then renamed over the
//! target. `If-Match` and `If-None-Match` are checked under a lock per target right before the
//! rename. That orders writers that go through the agent; a program inside the container that
//! writes in the same instant is not held up by it.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt as _;

use super::etag;
use crate::app::{App, State, blocking};
use crate::home::{Place, RelPath, lstat};
use crate::problem::{Problem, shown};
use crate::scratch::Temporary;
use crate::wire::Written;

/// The largest file that can be written.
pub const SIZE_MAX: u64 = 4 << 30;
/// Permissions of a new file.
const NEW_MODE: u32 = 0o644;

/// Locks by target, hashed onto a fixed number; two targets that share one only wait.
pub struct Locks([Mutex<()>; 64]);

impl Locks {
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(())))
    }

    fn of(&self, place: &Place) -> Option<&Mutex<()>> {
        let stat = fstat(&place.dir).ok()?;
        let mut hasher = DefaultHasher::new();
        (stat.st_dev, stat.st_ino, &place.name).hash(&mut hasher);
        self.0
            .get(usize::try_from(hasher.finish() % 64).unwrap_or(0))
    }
}

/// What the client expects to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Anything,
    /// `If-Match: *`
    Something,
    /// `If-None-Match: *`
    Nothing,
    /// `If-Match: "…"`
    Tags(String),
}

impl Expected {
    fn from_headers(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = |name: HeaderName| match headers.get(&name).map(|value| value.to_str()) {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text.trim())),
            Some(Err(_)) => Err(Problem::bad_request(format!(
                "The header {name} is not text."
            ))),
        };
        match (text(header::IF_MATCH)?, text(header::IF_NONE_MATCH)?) {
            (None, None) => Ok(Self::Anything),
            (Some("*"), None) => Ok(Self::Something),
            (Some(tags), None) => Ok(Self::Tags(tags.to_owned())),
            (None, Some("*")) => Ok(Self::Nothing),
            (_, Some(other)) => Err(Problem::bad_request(format!(
                "If-None-Match: {other} is not understood for a write; use If-None-Match: * (only create) or If-Match with an entity tag."
            ))),
        }
    }
}

pub async fn write(
    app: App,
    path: RelPath,
    parents: bool,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let expected = Expected::from_headers(headers)?;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > SIZE_MAX) {
        return Err(too_large(&path));
    }
    app.activity.touch();
    let (opener, target) = (app.clone(), path.clone());
    let (place, temporary, file) = blocking(move || prepare(&opener, &target, parents)).await?;
    let received = receive(file, body, &path).await?;
    let written = blocking(move || {
        let result = commit(&app, &path, &place, temporary, &received, &expected);
        app.activity.touch();
        result
    })
    .await?;
    let (created, written) = written;
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let etag = format!("\"{}\"", written.etag);
    Ok((status, [(header::ETAG, etag)], Json(written)).into_response())
}

fn too_large(path: &RelPath) -> Problem {
    Problem::too_large(format!(
        "{} would be larger than 4 GiB; split it.",
        shown(path.as_str())
    ))
}

fn prepare(
    app: &State,
    path: &RelPath,
    parents: bool,
) -> Result<(Place, Temporary, File), Problem> {
    if let (true, Some((parent, _))) = (parents, path.split_last()) {
        app.home.make_folders(parent, "make")?;
    }
    let place = app.home.place_of_target(path, "write")?;
    let (temporary, file) = app
        .scratch
        .file(place.dir.as_fd(), &place.dir_path)
        .map_err(|error| Problem::from_io("write", path.as_str(), &error))?;
    Ok((place, temporary, file))
}

/// A body on disk, synced.
struct Received {
    file: File,
    size: u64,
    /// Only of small files, which are tagged by content.
    content: Vec<u8>,
}

async fn receive(file: File, body: Body, path: &RelPath) -> Result<Received, Problem> {
    let fail = |error: std::io::Error| Problem::from_io("write", path.as_str(), &error);
    let mut file = tokio::fs::File::from_std(file);
    let mut stream = body.into_data_stream();
    let mut size = 0_u64;
    let mut content = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::bad_request(format!(
                "The upload of {} ended early ({error}); nothing was changed.",
                shown(path.as_str())
            ))
        })?;
        size += chunk.len() as u64;
        if size > SIZE_MAX {
            return Err(too_large(path));
        }
        if size <= etag::CONTENT_MAX {
            content.extend_from_slice(&chunk);
        } else if !content.is_empty() {
            content = Vec::new();
        }
        file.write_all(&chunk).await.map_err(fail)?;
    }
    file.sync_all().await.map_err(fail)?;
    Ok(Received {
        file: file.into_std().await,
        size,
        content,
    })
}

fn commit(
    app: &State,
    path: &RelPath,
    place: &Place,
    temporary: Temporary,
    received: &Received,
    expected: &Expected,
) -> Result<(bool, Written), Problem> {
    let fail = |errno| Problem::from_errno("write", path.as_str(), errno);
    let lock = app.locks.of(place).ok_or_else(|| fail(Errno::IO))?;
    let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let old = lstat(place.dir.as_fd(), &place.name).map_err(fail)?;
    match old
        .as_ref()
        .map(|stat| FileType::from_raw_mode(stat.st_mode))
    {
        None | Some(FileType::RegularFile) => {}
        Some(FileType::Directory) => return Err(fail(Errno::ISDIR)),
        Some(_) => {
            return Err(Problem::conflict(format!(
                "Cannot write {}: it is not a regular file; delete it first.",
                shown(path.as_str())
            )));
        }
    }
    check(place, path, old.is_some(), expected)?;
    // Permission bits only: whoever edits a set-uid file gets one without.
    let mode = old.as_ref().map_or(NEW_MODE, |stat| stat.st_mode & 0o777);
    received
        .file
        .set_permissions(std::fs::Permissions::from_mode(mode))
        .map_err(|error| Problem::from_io("write", path.as_str(), &error))?;
    let replace = *expected != Expected::Nothing;
    temporary
        .rename(place.dir.as_fd(), &place.name, replace)
        .map_err(|errno| match errno {
            // NOREPLACE: somebody else made it after the check.
            Errno::EXIST => exists(path, None),
            errno => fail(errno),
        })?;
    sync_folder(place.dir.as_fd());
    let etag = if received.size <= etag::CONTENT_MAX {
        etag::of_content(&received.content)
    } else {
        let metadata = received
            .file
            .metadata()
            .map_err(|error| Problem::from_io("write", path.as_str(), &error))?;
        etag::of_metadata(&metadata)
    };
    let written = Written {
        path: path.as_str().to_owned(),
        size: received.size,
        etag,
    };
    Ok((old.is_none(), written))
}

fn exists(path: &RelPath, etag: Option<&str>) -> Problem {
    Problem::precondition_failed(
        format!(
            "{} exists already; nothing was changed.",
            shown(path.as_str())
        ),
        etag,
    )
}

/// Compares what is there with what the client expects.
fn check(place: &Place, path: &RelPath, there: bool, expected: &Expected) -> Result<(), Problem> {
    if *expected == Expected::Anything || (*expected == Expected::Nothing && !there) {
        return Ok(());
    }
    if !there {
        return Err(Problem::precondition_failed(
            format!(
                "{} does not exist any more; nothing was written.",
                shown(path.as_str())
            ),
            None,
        ));
    }
    if *expected == Expected::Something {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut current: File = openat(&place.dir, place.name.as_os_str(), flags, Mode::empty())
        .map_err(|errno| Problem::from_errno("compare", path.as_str(), errno))?
        .into();
    let tag = etag::tag(&mut current)
        .map_err(|error| Problem::from_io("compare", path.as_str(), &error))?
        .etag;
    match expected {
        Expected::Tags(tags) if etag::list_names(tags, &tag, false) => Ok(()),
        Expected::Tags(_) => Err(Problem::precondition_failed(
            format!(
                "{} was changed since it was read; nothing was written. Read it again and merge, or write without If-Match to replace it.",
                shown(path.as_str())
            ),
            Some(&tag),
        )),
        _ => Err(exists(path, Some(&tag))),
    }
}

/// Makes a rename last; a file system that cannot (some network ones) loses nothing by trying.
pub fn sync_folder(dir: BorrowedFd<'_>) {
    let _ = rustix::fs::fsync(dir);
}
