//! `…/containers/{container}/files`

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response, Uri};
use optidev_agent::wire::{FileAction, Listing, MoveRequest, PathAnswer, Written};

use super::access::Inside;
use super::relay::{Media, relay, rest_of, with_query};
use crate::kernel::Problem;

/// List the home folder. `?list=1` may be left out.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/files", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path)),
    responses((status = 200, body = Listing)))]
pub async fn list_home(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    relay(
        &inside,
        Method::GET,
        "/v1/files?list=1",
        &parts.headers,
        body,
        Media::Protocol,
    )
    .await
}

/// Read a file (with `Range`), or with `?list=1` list a folder. The path is relative to the home folder.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/files/{*path}", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path), ("path" = String, Path),
        ("list" = Option<u8>, Query, description = "1: list the folder")),
    responses((status = 200, description = "What is in the file, or with `list=1` in the folder",
            content((Vec<u8> = "*/*"), (Listing = "application/json"))),
        (status = 206, content_type = "*/*", description = "The range that was asked for", body = Vec<u8>),
        (status = 304, description = "It still has the tag of `If-None-Match`")))]
pub async fn read(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let lists = parts
        .uri
        .query()
        .is_some_and(|query| query.split('&').any(|one| one.starts_with("list=1")));
    let media = if lists { Media::Protocol } else { Media::File };
    relay(
        &inside,
        parts.method,
        &agent_path(&parts.uri),
        &parts.headers,
        body,
        media,
    )
    .await
}

/// Write a whole file: old or new content is there at any time, never half. With `If-Match` only when it is still the
/// one that was read, with `If-None-Match: *` only when there is none.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/containers/{container}/files/{*path}", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path), ("path" = String, Path),
        ("parents" = Option<u8>, Query, description = "1: make its folders")),
    request_body(content_type = "application/octet-stream", content = Vec<u8>),
    responses((status = 200, description = "Replaced", body = Written),
        (status = 201, description = "Made", body = Written),
        (status = 412, description = "Changed meanwhile; `etag` is the current one")))]
pub async fn write(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    passed(inside, request).await
}

/// `?action=mkdir` makes a folder; `?action=move` with `{"to": "path", "overwrite": false}` moves or renames.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/containers/{container}/files/{*path}", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path), ("path" = String, Path),
        ("action" = inline(FileAction), Query)),
    request_body(content = Option<MoveRequest>, description = "Where to, for `move`"),
    responses((status = 200, description = "Moved", body = PathAnswer),
        (status = 201, description = "Made", body = PathAnswer)))]
pub async fn act(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    passed(inside, request).await
}

/// Delete a file, or with `?recursive=1` a folder with what is in it.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/containers/{container}/files/{*path}", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path), ("path" = String, Path),
        ("recursive" = Option<u8>, Query, description = "1: with what is in it")),
    responses((status = 204)))]
pub async fn delete(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    passed(inside, request).await
}

async fn passed(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    // With the route's limit on what is read of the body.
    let (parts, body) = axum::RequestExt::with_limited_body(request).into_parts();
    relay(
        &inside,
        parts.method,
        &agent_path(&parts.uri),
        &parts.headers,
        body,
        Media::Protocol,
    )
    .await
}

fn agent_path(uri: &Uri) -> String {
    with_query(&format!("/v1/files/{}", rest_of(uri, "/files/")), uri)
}
