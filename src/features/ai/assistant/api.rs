//! JSON and event streams under `/api/v1/workspaces/{workspace}/ai`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Ai;
use super::model::{AiStatus, Session, Verdict};
use super::{events, ops};
use crate::context::{Ctx, Services};
use crate::kernel::{
    AssistantSessionId, ContainerId, Page, Problem, ProjectId, TurnId, WorkspaceId,
};
use crate::web::{Json, Path, Query};

/// The assistant's routes.
pub fn routes() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(list, create))
        .routes(routes!(read))
        .routes(routes!(send))
        .routes(routes!(stop))
        .routes(routes!(decide))
        .routes(routes!(undo))
        .routes(routes!(follow))
}

/// Whether the assistant can be used, and which setting is missing.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/ai", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path)), responses((status = 200, body = AiStatus)))]
async fn status(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<AiStatus>, Problem> {
    ops::status(&ctx, &ai, workspace).await.map(Json)
}

/// A conversation to begin.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSession {
    /// What it is about.
    project_id: ProjectId,
    /// The caller's container, in which the tools act.
    container_id: ContainerId,
}

/// Begins a conversation.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/ai/sessions", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path)), request_body = NewSession,
    responses((status = 201, body = Session)))]
async fn create(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path(workspace): Path<WorkspaceId>,
    Json(new): Json<NewSession>,
) -> Result<(StatusCode, Json<Session>), Problem> {
    let session = ops::create(&ctx, &ai, workspace, new.project_id, new.container_id).await?;
    Ok((StatusCode::CREATED, Json(session)))
}

#[derive(Deserialize, utoipa::IntoParams)]
struct ListQuery {
    /// Only conversations about this project.
    project_id: Option<ProjectId>,
}

/// The caller's conversations, newest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/ai/sessions", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path), ListQuery), responses((status = 200, body = Page<Session>)))]
async fn list(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Session>>, Problem> {
    ops::list(&ctx, &ai, workspace, query.project_id)
        .await
        .map(Page::whole)
        .map(Json)
}

/// One conversation.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/ai/sessions/{session}", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path), ("session" = AssistantSessionId, Path)),
    responses((status = 200, body = Session)))]
async fn read(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path((workspace, session)): Path<(WorkspaceId, AssistantSessionId)>,
) -> Result<Json<Session>, Problem> {
    ops::get(&ctx, &ai, workspace, session).await.map(Json)
}

/// A message to the assistant.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewMessage {
    /// What the user says.
    text: String,
}

/// The turn that a message began.
#[derive(Serialize, utoipa::ToSchema)]
struct Begun {
    turn_id: TurnId,
}

/// Sends a message; what comes of it is told by the session's events.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/ai/sessions/{session}/messages", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path), ("session" = AssistantSessionId, Path)), request_body = NewMessage,
    responses((status = 202, body = Begun), (status = 409, description = "At work, not ready, or the container does not run")))]
async fn send(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path((workspace, session)): Path<(WorkspaceId, AssistantSessionId)>,
    Json(new): Json<NewMessage>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let turn_id = ops::send(&ctx, &ai, workspace, session, new.text).await?;
    Ok((StatusCode::ACCEPTED, Json(Begun { turn_id })))
}

/// Stops the assistant; what it has done so far stands.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/ai/sessions/{session}/stop", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path), ("session" = AssistantSessionId, Path)), responses((status = 202)))]
async fn stop(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path((workspace, session)): Path<(WorkspaceId, AssistantSessionId)>,
) -> Result<StatusCode, Problem> {
    ops::stop(&ctx, &ai, workspace, session).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What the user says about a call that waits.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CallDecision)]
struct Decision {
    decision: Verdict,
}

/// Allows or denies a call that waits.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/ai/sessions/{session}/calls/{call}", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path), ("session" = AssistantSessionId, Path), ("call" = String, Path)),
    request_body = Decision, responses((status = 202), (status = 409, description = "No such call waits")))]
async fn decide(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path((workspace, session, call)): Path<(WorkspaceId, AssistantSessionId, String)>,
    Json(decision): Json<Decision>,
) -> Result<StatusCode, Problem> {
    ops::decide(&ctx, &ai, workspace, session, &call, decision.decision).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What undoing put back.
#[derive(Serialize, utoipa::ToSchema)]
struct Undone {
    /// Paths relative to the project's folder.
    restored: Vec<String>,
}

/// Undoes the file changes of a turn: all of them, or none.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/ai/sessions/{session}/turns/{turn}/undo", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path), ("session" = AssistantSessionId, Path), ("turn" = TurnId, Path)),
    responses((status = 200, body = Undone), (status = 409, description = "A file or a later turn is in the way")))]
async fn undo(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path((workspace, session, turn)): Path<(WorkspaceId, AssistantSessionId, TurnId)>,
) -> Result<Json<Undone>, Problem> {
    let restored = ops::undo(&ctx, &ai, workspace, session, turn).await?;
    Ok(Json(Undone { restored }))
}

#[derive(Deserialize, utoipa::IntoParams)]
struct AfterQuery {
    /// The last event that is known already; 0 for all. The header `Last-Event-ID` counts when it is larger.
    #[serde(default)]
    after: i64,
}

/// Follows a conversation: everything after `after`, then what happens. Each event's id is its number.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/ai/sessions/{session}/events", tag = "Assistant",
    params(("workspace" = WorkspaceId, Path), ("session" = AssistantSessionId, Path), AfterQuery),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = super::model::Event)))]
async fn follow(
    ctx: Ctx,
    Extension(ai): Extension<Arc<Ai>>,
    Path((workspace, session)): Path<(WorkspaceId, AssistantSessionId)>,
    Query(query): Query<AfterQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (grant, _) = ops::find(&ctx, workspace, session).await?;
    let live = ops::open(&ctx, &ai, &grant, session).await?;
    // A browser that connects again by itself repeats its first address, and says in a header how far it came.
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse::<i64>().ok())
        .unwrap_or(0);
    let stream = events::stream(ctx, workspace, session, live, query.after.max(seen));
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(15));
    Ok((
        [("x-accel-buffering", "no")],
        Sse::new(stream).keep_alive(keep_alive),
    )
        .into_response())
}
