//! Search, watch, archive and exec.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, header};
use optidev_agent::wire::{ExecRequest, ExecResult, SearchResult};

use super::access::Inside;
use super::relay::{Media, relay, with_query};
use crate::kernel::Problem;

/// Search in files. Ignored files (.gitignore) are left out.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/search", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path),
        ("path" = Option<String>, Query, description = "Folder to search below; the home folder without it"),
        ("query" = String, Query), ("regex" = Option<u8>, Query), ("case" = Option<u8>, Query),
        ("glob" = Option<String>, Query), ("limit" = Option<u32>, Query)),
    responses((status = 200, body = SearchResult)))]
pub async fn search(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    passed(&inside, request, Method::GET, "/v1/search").await
}

/// Follow changes below a folder: `event: change` with {"path", "kind": created|modified|removed|overflow}.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/watch", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path), ("path" = Option<String>, Query)),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub async fn watch(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    passed(&inside, request, Method::GET, "/v1/watch").await
}

/// A folder as a .tar.gz, with everything in it.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/archive", tag = "Files",
    params(("workspace" = String, Path), ("container" = String, Path), ("path" = Option<String>, Query)),
    responses((status = 200, content_type = "application/gzip", body = Vec<u8>)))]
pub async fn archive(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let name = archive_name(request.uri().query().unwrap_or_default());
    let mut answer = passed(&inside, request, Method::GET, "/v1/archive").await?;
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.tar.gz\"")) {
        answer
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}

/// Run a command to its end: {"command": ["sh", "-c", "…"], "cwd", "env", "stdin", "timeout_ms"}.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/containers/{container}/exec", tag = "Terminals",
    params(("workspace" = String, Path), ("container" = String, Path)), request_body = ExecRequest,
    responses((status = 200, body = ExecResult)))]
pub async fn exec(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = axum::RequestExt::with_limited_body(request).into_parts();
    relay(
        &inside,
        Method::POST,
        "/v1/exec",
        &parts.headers,
        body,
        Media::Command,
    )
    .await
}

async fn passed(
    inside: &Inside,
    request: Request,
    method: Method,
    path: &str,
) -> Result<Response<Body>, Problem> {
    let path = with_query(path, request.uri());
    let (parts, body) = axum::RequestExt::with_limited_body(request).into_parts();
    relay(inside, method, &path, &parts.headers, body, Media::Protocol).await
}

/// The folder's own name, if it is a plain one.
fn archive_name(query: &str) -> String {
    let path = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "path");
    let path = path
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let name: String = path
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        .take(80)
        .collect();
    if name.trim_matches('.').is_empty() {
        "home".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_have_plain_names() {
        assert_eq!(archive_name("path=projects%2Fmy-app%2F"), "my-app");
        assert_eq!(archive_name(""), "home");
        assert_eq!(archive_name("path=a%22%0d%0ax"), "ax");
    }
}
