//! `/v1/files/{path}`: read, list, write, make, move and delete beneath the home.
//!
//! Always holds: paths go through `home`; writes are whole or nothing.

mod etag;
mod list;
mod read;
pub mod remove;
pub mod write;

use std::os::fd::AsFd as _;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router, routing};
use rustix::fs::{Mode, RenameFlags, mkdirat, renameat_with};
use rustix::io::Errno;

use crate::app::{App, blocking};
use crate::extract::{FilePath, JsonBody, Params};
use crate::home::RelPath;
use crate::problem::{Problem, shown};
use crate::wire::{FileAction, FileQuery, MoveRequest, PathAnswer};

pub fn routes() -> Router<App> {
    let methods = || routing::get(get).put(put).post(post).delete(delete);
    Router::new()
        .route("/v1/files", methods())
        .route("/v1/files/", methods())
        .route("/v1/files/{*path}", methods())
}

async fn get(
    State(app): State<App>,
    FilePath(path): FilePath,
    Params(query): Params<FileQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if query.list == Some(1) {
        let listing = blocking(move || list::list(&app.home, &path)).await?;
        return Ok(Json(listing).into_response());
    }
    read::read(app, path, &headers).await
}

async fn put(
    State(app): State<App>,
    FilePath(path): FilePath,
    Params(query): Params<FileQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    write::write(app, path, query.parents == Some(1), &headers, body).await
}

async fn post(
    State(app): State<App>,
    FilePath(path): FilePath,
    Params(query): Params<FileQuery>,
    request: Request,
) -> Result<Response, Problem> {
    app.activity.touch();
    match query.action {
        Some(FileAction::Mkdir) => {
            let parents = query.parents == Some(1);
            blocking(move || mkdir(&app, &path, parents)).await
        }
        Some(FileAction::Move) => {
            use axum::extract::FromRequest as _;
            let JsonBody(to) = JsonBody::<MoveRequest>::from_request(request, &()).await?;
            blocking(move || rename(&app, &path, &to)).await
        }
        None => Err(Problem::bad_request(
            "POST on a file needs ?action=mkdir or ?action=move; to write a file use PUT.",
        )),
    }
}

fn mkdir(app: &App, path: &RelPath, parents: bool) -> Result<Response, Problem> {
    if let (true, Some((parent, _))) = (parents, path.split_last()) {
        app.home.make_folders(parent, "make")?;
    }
    let place = app.home.place(path, "make")?;
    mkdirat(
        &place.dir,
        place.name.as_os_str(),
        Mode::from_raw_mode(0o755),
    )
    .map_err(|errno| Problem::from_errno("make", path.as_str(), errno))?;
    let answer = PathAnswer {
        path: path.as_str().to_owned(),
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

fn rename(app: &App, path: &RelPath, request: &MoveRequest) -> Result<Response, Problem> {
    let to = RelPath::parse_below(&request.to, "move something onto")?;
    let from_place = app.home.place(path, "move")?;
    let to_place = app.home.place(&to, "move to")?;
    let flags = if request.overwrite {
        RenameFlags::empty()
    } else {
        RenameFlags::NOREPLACE
    };
    renameat_with(
        &from_place.dir,
        from_place.name.as_os_str(),
        &to_place.dir,
        to_place.name.as_os_str(),
        flags,
    )
    .map_err(|errno| match errno {
        Errno::INVAL => Problem::unprocessable(format!(
            "Cannot move {} into itself ({}).",
            shown(path.as_str()),
            shown(to.as_str())
        )),
        Errno::EXIST => Problem::conflict(format!(
            "Cannot move to {}: it exists already; choose another name or set \"overwrite\": true.",
            shown(to.as_str())
        )),
        // Seen when the target is a folder that is not empty, which no rename replaces.
        Errno::NOTEMPTY => Problem::conflict(format!(
            "Cannot move to {}: it is a folder that is not empty; delete it first.",
            shown(to.as_str())
        )),
        errno => Problem::from_errno("move", path.as_str(), errno),
    })?;
    write::sync_folder(from_place.dir.as_fd());
    write::sync_folder(to_place.dir.as_fd());
    Ok(Json(PathAnswer {
        path: request.to.clone(),
    })
    .into_response())
}

async fn delete(
    State(app): State<App>,
    FilePath(path): FilePath,
    Params(query): Params<FileQuery>,
) -> Result<StatusCode, Problem> {
    app.activity.touch();
    blocking(move || {
        remove::remove(&app.home, &path, query.recursive == Some(1))?;
        Ok(StatusCode::NO_CONTENT)
    })
    .await
}
