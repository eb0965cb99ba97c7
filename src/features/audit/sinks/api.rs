//! `/api/v1/organizations/{organization}/audit-sinks`

use axum::http::StatusCode;

use super::model::{ChangeSink, MadeSink, NewSink, Sink, TestResult};
use super::ops;
use crate::context::Ctx;
use crate::kernel::{AuditSinkId, OrganizationId, Page, Problem};
use crate::web::{Json, Path};

/// Where the organization's audit log is carried to.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/audit-sinks", tag = "Audit",
    operation_id = "list_audit_sinks",
    params(("organization" = String, Path)), responses((status = 200, body = Page<Sink>)))]
pub async fn list(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
) -> Result<Json<Page<Sink>>, Problem> {
    Ok(Json(ops::list(&ctx, organization).await?))
}

/// Have the log carried somewhere. The answer holds a webhook's signing secret, this once.
#[utoipa::path(post, path = "/api/v1/organizations/{organization}/audit-sinks", tag = "Audit",
    operation_id = "create_audit_sink",
    params(("organization" = String, Path)), request_body = NewSink,
    responses((status = 201, body = MadeSink)))]
pub async fn create(
    ctx: Ctx,
    Path(organization): Path<OrganizationId>,
    Json(new): Json<NewSink>,
) -> Result<(StatusCode, Json<MadeSink>), Problem> {
    Ok((
        StatusCode::CREATED,
        Json(ops::create(&ctx, organization, new).await?),
    ))
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/audit-sinks/{sink}", tag = "Audit",
    operation_id = "get_audit_sink",
    params(("organization" = String, Path), ("sink" = String, Path)),
    responses((status = 200, body = Sink)))]
pub async fn get(
    ctx: Ctx,
    Path((organization, sink)): Path<(OrganizationId, AuditSinkId)>,
) -> Result<Json<Sink>, Problem> {
    Ok(Json(ops::get(&ctx, organization, sink).await?))
}

/// Change one.
#[utoipa::path(patch, path = "/api/v1/organizations/{organization}/audit-sinks/{sink}", tag = "Audit",
    operation_id = "update_audit_sink",
    params(("organization" = String, Path), ("sink" = String, Path)), request_body = ChangeSink,
    responses((status = 200, body = Sink)))]
pub async fn change(
    ctx: Ctx,
    Path((organization, sink)): Path<(OrganizationId, AuditSinkId)>,
    Json(change): Json<ChangeSink>,
) -> Result<Json<Sink>, Problem> {
    Ok(Json(ops::change(&ctx, organization, sink, change).await?))
}

/// Delete one. What it did not get stays in the log.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/audit-sinks/{sink}", tag = "Audit",
    operation_id = "delete_audit_sink",
    params(("organization" = String, Path), ("sink" = String, Path)), responses((status = 204)))]
pub async fn delete(
    ctx: Ctx,
    Path((organization, sink)): Path<(OrganizationId, AuditSinkId)>,
) -> Result<StatusCode, Problem> {
    ops::delete(&ctx, organization, sink).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a test entry there, and say whether it arrived.
#[utoipa::path(post, path = "/api/v1/organizations/{organization}/audit-sinks/{sink}/test", tag = "Audit",
    operation_id = "test_audit_sink",
    params(("organization" = String, Path), ("sink" = String, Path)),
    responses((status = 200, body = TestResult)))]
pub async fn test(
    ctx: Ctx,
    Path((organization, sink)): Path<(OrganizationId, AuditSinkId)>,
) -> Result<Json<TestResult>, Problem> {
    Ok(Json(ops::test(&ctx, organization, sink).await?))
}
