//! Ports that something listens on, and opening one as a preview.

use axum::Extension;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, Response};
use optidev_agent::wire::{List, Port};
use serde::Serialize;

use super::access::Inside;
use super::preview::Preview;
use super::relay::{Media, relay, rest_of};
use crate::kernel::{Code, Problem};
use crate::web::Json;

/// Where a preview opens.
#[derive(Serialize, utoipa::ToSchema)]
pub struct OpenPort {
    /// Works once, within 30 seconds. Open it in a tab or a frame.
    url: String,
}

/// Ports that something in the container listens on.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/ports", tag = "Ports",
    params(("workspace" = String, Path), ("container" = String, Path)),
    responses((status = 200, body = List<Port>)))]
pub async fn list(inside: Inside, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    relay(
        &inside,
        Method::GET,
        "/v1/ports",
        &parts.headers,
        body,
        Media::Protocol,
    )
    .await
}

/// An address that opens a port in a browser. Nothing needs to listen yet.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/containers/{container}/ports/{port}/open", tag = "Ports",
    params(("workspace" = String, Path), ("container" = String, Path), ("port" = u16, Path)),
    responses((status = 200, body = OpenPort)))]
pub async fn open(
    inside: Inside,
    Extension(preview): Extension<Preview>,
    request: Request,
) -> Result<Json<OpenPort>, Problem> {
    let port = rest_of(request.uri(), "/ports/").trim_end_matches("/open");
    let port = port
        .parse::<u16>()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| {
            Problem::new(
                Code::Unprocessable,
                format!("{port:?} is not a port. Give a number from 1 to 65535."),
            )
        })?;
    let url = preview
        .open(&inside.ctx, inside.entered.identity, port)
        .await?;
    Ok(Json(OpenPort { url }))
}
