//! The gateway's operation: who asks, for which workspace, then straight through.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::super::Ai;
use super::super::redaction::redact_request;
use super::super::upstream::{Upstream, X_API_KEY};
use super::headers;
use super::intake;
use super::problem::GatewayError;
use super::tap::{Account, Tap};
use crate::authz::membership;
use crate::authz::permission::AssistantUse;
use crate::context::{Ctx, Services};
use crate::features::audit::Action;
use crate::features::containers::Standing;
use crate::kernel::WorkspaceId;
use crate::store::{Grant, StoreError, SystemPurpose};
use crate::web::cut_when;

/// Names the workspace when a token reaches several.
const WORKSPACE_HEADER: &str = "x-optidev-workspace";

type Answer = Result<Response<Body>, GatewayError>;

pub async fn messages(
    State(services): State<Services>,
    Extension(ai): Extension<Arc<Ai>>,
    request: Request,
) -> Answer {
    pass(&services, &ai, "/v1/messages", request).await
}

pub async fn count_tokens(
    State(services): State<Services>,
    Extension(ai): Extension<Arc<Ai>>,
    request: Request,
) -> Answer {
    pass(&services, &ai, "/v1/messages/count_tokens", request).await
}

pub async fn models(
    State(services): State<Services>,
    Extension(ai): Extension<Arc<Ai>>,
    request: Request,
) -> Answer {
    pass(&services, &ai, "/v1/models", request).await
}

pub async fn here() -> StatusCode {
    StatusCode::OK
}

pub async fn nowhere() -> GatewayError {
    GatewayError::no_such_address()
}

pub async fn not_this_way() -> GatewayError {
    GatewayError::no_such_method()
}

async fn pass(services: &Services, ai: &Ai, path: &str, request: Request) -> Answer {
    let (mut parts, body) = request.into_parts();
    let (grant, standing) = authenticate(&mut parts, services, ai).await?;
    let account = Account {
        workspace: grant.workspace(),
        user: grant.user(),
    };
    let passed = async {
        refuse_encoded(&parts.headers)?;
        // Kept until the upstream has it.
        let (body, _held) = intake::read(&ai.intake, account.user, &parts.headers, body).await?;
        let query = parts.uri.query();
        let headers = headers::to_upstream(&parts.headers);
        let beside = beside(query, &headers);
        let body = redact_request(services, &grant, beside, body).await?;
        forward(
            &ai.upstream,
            account,
            parts.method.clone(),
            path,
            query,
            headers,
            body,
        )
        .await
    };
    // An answer is as long as the model makes it; it goes on for those only who may still ask.
    let mut lost = Box::pin(standing.lost());
    let answer = tokio::select! {
        answer = passed => answer?,
        () = &mut lost => return Err(GatewayError::ended()),
    };
    Ok(answer.map(|body| cut_when(lost, body)))
}

/// What of a request leaves beside its body.
fn beside(query: Option<&str>, headers: &HeaderMap) -> String {
    let mut text = query.unwrap_or_default().to_owned();
    for value in headers.values() {
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    text
}

fn refuse_encoded(headers: &HeaderMap) -> Result<(), GatewayError> {
    let encodings = headers.get_all(CONTENT_ENCODING).iter();
    for encoding in encodings.map(|value| value.to_str().unwrap_or("?").trim()) {
        if !encoding.eq_ignore_ascii_case("identity") {
            return Err(GatewayError::encoded(encoding));
        }
    }
    Ok(())
}

/// What is left when it is known who asks: the pass-through itself.
pub(super) async fn forward(
    upstream: &Upstream,
    account: Account,
    method: axum::http::Method,
    path: &str,
    query: Option<&str>,
    headers_to_upstream: HeaderMap,
    body: Bytes,
) -> Answer {
    let answer = upstream
        .send(method, path, query, headers_to_upstream, body)
        .await?;
    let (head, body) = answer.into_parts();
    let content_type = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let tap = Tap::new(body, content_type, account);
    let mut response = Response::new(Body::new(tap));
    *response.status_mut() = head.status;
    *response.headers_mut() = headers::to_client(&head.headers);
    // Proxies that gather answers would turn a stream into a pause.
    response
        .headers_mut()
        .insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Recognises an OptiDev token in either header, or the console's session, and finds the workspace.
async fn authenticate(
    parts: &mut Parts,
    services: &Services,
    ai: &Ai,
) -> Result<(Grant<AssistantUse>, Standing<AssistantUse>), GatewayError> {
    // SDKs send their key in `x-api-key`; Claude Code sends a bearer token.
    if let Some(key) = parts.headers.remove(X_API_KEY)
        && let Ok(text) = key.to_str()
        && let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {text}"))
    {
        bearer.set_sensitive(true);
        parts.headers.insert(AUTHORIZATION, bearer);
    }
    let ctx = Ctx::from_request_parts(parts, services).await?;
    let workspace = match parts.headers.get(WORKSPACE_HEADER) {
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| text.parse::<WorkspaceId>().ok())
            .ok_or_else(|| {
                GatewayError::invalid(format!(
                    "{WORKSPACE_HEADER} must be a workspace's id, wsp_ and 26 characters"
                ))
            })?,
        None => only_workspace(&ctx).await?,
    };
    let grant = ctx.authorize::<AssistantUse>(workspace).await?;
    let lately = &ai.lately;
    lately
        .note(&ctx, &grant, Action::GatewayUse, workspace)
        .await?;
    Ok((grant, Standing::new(&ctx, workspace)))
}

async fn only_workspace(ctx: &Ctx) -> Result<WorkspaceId, GatewayError> {
    let memberships = async {
        let tx = ctx
            .services
            .store
            .system(SystemPurpose::Memberships)
            .await?;
        tx.all(
            membership::Entity::find().filter(membership::Column::AccountId.eq(ctx.actor.user())),
        )
        .await
    };
    let memberships = memberships
        .await
        .map_err(|error: StoreError| crate::kernel::Problem::from(error))?;
    match memberships.as_slice() {
        [only] => Ok(only.workspace_id),
        [] => Err(GatewayError::invalid(
            "this token's user belongs to no workspace",
        )),
        several => Err(GatewayError::invalid(format!(
            "this token's user belongs to {} workspaces; name one in the header {WORKSPACE_HEADER}",
            several.len()
        ))),
    }
}
