//! Terminals: JSON to make and list them, a WebSocket to use one.
//!
//! The WebSocket is the agent's own: after the handshake the broker carries bytes and reads none of them.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use optidev_agent::wire::{List, NewTerminal, Terminal};

use super::access::Inside;
use super::relay::{Media, relay, with_query};
use crate::clients::agent;
use crate::kernel::{Code, Problem};

/// Bytes carried at a time in each direction.
const CHUNK: usize = 32 << 10;

/// The terminals of a container.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/terminals", tag = "Terminals",
    params(("workspace" = String, Path), ("container" = String, Path)),
    responses((status = 200, body = List<Terminal>)))]
pub async fn list(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    relay(
        &inside,
        Method::GET,
        "/v1/terminals",
        &parts.headers,
        body,
        Media::Protocol,
    )
    .await
}

/// Open a terminal: {"cols", "rows", "cwd"?, "command"?: […]}.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/containers/{container}/terminals", tag = "Terminals",
    params(("workspace" = String, Path), ("container" = String, Path)), request_body = NewTerminal,
    responses((status = 201, body = Terminal)))]
pub async fn create(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = axum::RequestExt::with_limited_body(request).into_parts();
    relay(
        &inside,
        Method::POST,
        "/v1/terminals",
        &parts.headers,
        body,
        Media::Protocol,
    )
    .await
}

/// One terminal; with `Upgrade: websocket` its input and output. `after` is the number of output bytes already seen.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}",
    tag = "Terminals",
    params(("workspace" = String, Path), ("container" = String, Path), ("terminal" = String, Path),
        ("after" = Option<u64>, Query)),
    responses((status = 101, description = "Server to client: text {type: hello|gap|exit}, binary = 8-byte big-endian \
        sequence number and output. Client to server: binary = input, text {type: input|resize}."),
        (status = 200, body = Terminal)))]
pub async fn read(inside: Inside, mut request: Request) -> Result<Response<Body>, Problem> {
    let path = with_query(&agent_path(request.uri())?, request.uri());
    let upgrades = request
        .headers()
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !upgrades {
        let (parts, body) = request.into_parts();
        return relay(
            &inside,
            Method::GET,
            &path,
            &parts.headers,
            body,
            Media::Protocol,
        )
        .await;
    }
    let Some(client) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Problem::new(
            Code::BadRequest,
            "A terminal's WebSocket needs HTTP/1.1.",
        ));
    };
    let (head, agent) = inside
        .entered
        .agent
        .upgrade(handshake(&path, request.headers())?)
        .await?;
    let standing = inside.standing();
    inside.ctx.services.tasks.spawn(async move {
        let Ok(client) = client.await else { return };
        let (mut client, mut agent) = (TokioIo::new(client), agent);
        let carried =
            tokio::io::copy_bidirectional_with_sizes(&mut client, &mut agent, CHUNK, CHUNK);
        tokio::select! {
            _ = carried => {}
            () = standing.ended() => {}
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Some(accept) = head.headers().get(header::SEC_WEBSOCKET_ACCEPT) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept.clone());
    }
    Ok(response)
}

/// End a terminal and forget its history.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/containers/{container}/terminals/{terminal}",
    tag = "Terminals",
    params(("workspace" = String, Path), ("container" = String, Path), ("terminal" = String, Path)),
    responses((status = 204)))]
pub async fn delete(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let path = agent_path(request.uri())?;
    let (parts, body) = request.into_parts();
    relay(
        &inside,
        Method::DELETE,
        &path,
        &parts.headers,
        body,
        Media::Protocol,
    )
    .await
}

/// The handshake for the agent: the client's key, so that the agent's answer is good for the client. No extensions,
/// which both ends would have to know.
fn handshake(path: &str, from: &HeaderMap) -> Result<axum::http::Request<agent::Body>, Problem> {
    let mut request = axum::http::Request::get(path)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .body(agent::empty())
        .map_err(|_| Problem::not_found())?;
    for name in [header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
        if let Some(value) = from.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    Ok(request)
}

/// A terminal's id is letters, digits and an underscore; anything else names nothing.
fn agent_path(uri: &axum::http::Uri) -> Result<String, Problem> {
    let id = super::relay::rest_of(uri, "/terminals/");
    let plain = !id.is_empty()
        && id.len() <= 64
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain {
        Ok(format!("/v1/terminals/{id}"))
    } else {
        Err(Problem::not_found())
    }
}
