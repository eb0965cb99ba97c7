//! `/api/v1/workspaces/{workspace}/containers`

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};

use super::checkout::Checkouts;
use super::choice::{self, Choice, Choices};
use super::controller::Controller;
use super::isolation::{self, Isolation};
use super::liveness::Standing;
use super::model::{Checkout, Container};
use super::ops::{self, Access};
use crate::authz::permission::ContainersRead;
use crate::context::Ctx;
use crate::features::audit::Action;
use crate::kernel::{ContainerId, Page, Problem, ProjectId, WorkspaceId};
use crate::web::{Json, Path};

type Controls = Extension<Arc<Controller>>;

/// All members' containers and their state. Only one's own can be entered.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers", tag = "Containers",
    params(("workspace" = String, Path)), responses((status = 200, body = Page<Container>)))]
pub async fn list(
    ctx: Ctx,
    Extension(controller): Controls,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Page<Container>>, Problem> {
    Ok(Json(Page::whole(
        ops::list(&ctx, &controller, workspace).await?,
    )))
}

/// Have a container of one's own: made when there is none, and started when it does not run, of this class and image.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/containers", tag = "Containers",
    params(("workspace" = String, Path)), request_body = Choice, responses((status = 202, body = Container)))]
pub async fn create(
    ctx: Ctx,
    Extension(controller): Controls,
    Path(workspace): Path<WorkspaceId>,
    Json(choice): Json<Choice>,
) -> Result<(StatusCode, Json<Container>), Problem> {
    Ok((
        StatusCode::ACCEPTED,
        Json(ops::create(&ctx, &controller, workspace, &choice).await?),
    ))
}

/// Which classes and images containers may have.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/container-choices", tag = "Containers",
    params(("workspace" = String, Path)), responses((status = 200, body = Choices)))]
pub async fn choices(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Choices>, Problem> {
    Ok(Json(choice::choices(&ctx, workspace).await?))
}

/// The last proof that pods of containers cannot reach each other, nor anything else that is forbidden.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/isolation", tag = "Containers",
    params(("workspace" = String, Path)), responses((status = 200, body = Isolation)))]
pub async fn proof(
    ctx: Ctx,
    Path(workspace): Path<WorkspaceId>,
) -> Result<Json<Isolation>, Problem> {
    Ok(Json(isolation::read(&ctx, workspace).await?))
}

/// Ask for such a proof now. It takes about half a minute, and is then read with GET.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/isolation", tag = "Containers",
    params(("workspace" = String, Path)), responses((status = 202)))]
pub async fn prove(ctx: Ctx, Path(workspace): Path<WorkspaceId>) -> Result<StatusCode, Problem> {
    isolation::ask(&ctx, workspace).await?;
    Ok(StatusCode::ACCEPTED)
}

/// One container.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}", tag = "Containers",
    params(("workspace" = String, Path), ("container" = String, Path)), responses((status = 200, body = Container)))]
pub async fn read(
    ctx: Ctx,
    Extension(controller): Controls,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
) -> Result<Json<Container>, Problem> {
    Ok(Json(
        ops::get(&ctx, &controller, workspace, container).await?.0,
    ))
}

/// Delete a container with all its files.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/containers/{container}", tag = "Containers",
    params(("workspace" = String, Path), ("container" = String, Path)), responses((status = 204)))]
pub async fn delete(
    ctx: Ctx,
    Extension(controller): Controls,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
) -> Result<StatusCode, Problem> {
    ops::delete(&ctx, &controller, workspace, container).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Start one's own container.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/containers/{container}/start", tag = "Containers",
    params(("workspace" = String, Path), ("container" = String, Path)), responses((status = 202, body = Container)))]
pub async fn start(
    ctx: Ctx,
    Extension(controller): Controls,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
) -> Result<(StatusCode, Json<Container>), Problem> {
    Ok((
        StatusCode::ACCEPTED,
        Json(ops::start(&ctx, &controller, workspace, container).await?),
    ))
}

/// Stop a container: one's own, or as an admin anybody's. Its files stay.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/containers/{container}/stop", tag = "Containers",
    params(("workspace" = String, Path), ("container" = String, Path)), responses((status = 202, body = Container)))]
pub async fn stop(
    ctx: Ctx,
    Extension(controller): Controls,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
) -> Result<(StatusCode, Json<Container>), Problem> {
    Ok((
        StatusCode::ACCEPTED,
        Json(ops::stop(&ctx, &controller, workspace, container).await?),
    ))
}

/// Follow a container: `event: container` with its JSON, at once and at each change.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/events", tag = "Containers",
    params(("workspace" = String, Path), ("container" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = Container)))]
pub async fn events(
    ctx: Ctx,
    Extension(controller): Controls,
    Path((workspace, container)): Path<(WorkspaceId, ContainerId)>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let (first, row) = ops::get(&ctx, &controller, workspace, container).await?;
    let mut changes = controller.follow(&row);
    changes.mark_changed();
    let viewer = ctx.actor.user();
    let (owner, chosen) = (first.owner, (first.class, first.image));
    let stream = futures_util::stream::unfold(changes, move |mut changes| {
        let (owner, chosen) = (owner.clone(), chosen.clone());
        async move {
            changes.changed().await.ok()?;
            let observed = changes.borrow_and_update().clone();
            let view = Container::view(container, owner, viewer, observed, chosen);
            let event = Event::default().event("container").json_data(&view).ok()?;
            Some((Ok(event), changes))
        }
    });
    let ended = Standing::<ContainersRead>::new(&ctx, workspace).ended();
    let stream = stream.take_until(Box::pin(ended));
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// Bring a project's files into one's own container. Idempotent; answers at once.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}",
    tag = "Containers",
    params(("workspace" = String, Path), ("container" = String, Path), ("project" = String, Path)),
    responses((status = 202, body = Checkout)))]
pub async fn checkout(
    ctx: Ctx,
    Extension(controller): Controls,
    Extension(checkouts): Extension<Checkouts>,
    Path((workspace, container, project)): Path<(WorkspaceId, ContainerId, ProjectId)>,
) -> Result<(StatusCode, Json<Checkout>), Problem> {
    let access = Access::Act(Action::ContainerCheckout, project.to_string());
    let entered = ops::enter(&ctx, &controller, workspace, container, access).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(checkouts.begin(&ctx, &entered, project).await?),
    ))
}

/// Whether a project's files are in one's own container.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/containers/{container}/projects/{project}",
    tag = "Containers",
    params(("workspace" = String, Path), ("container" = String, Path), ("project" = String, Path)),
    responses((status = 200, body = Checkout)))]
pub async fn read_checkout(
    ctx: Ctx,
    Extension(controller): Controls,
    Extension(checkouts): Extension<Checkouts>,
    Path((workspace, container, project)): Path<(WorkspaceId, ContainerId, ProjectId)>,
) -> Result<Json<Checkout>, Problem> {
    let entered = ops::enter(&ctx, &controller, workspace, container, Access::Look).await?;
    Ok(Json(checkouts.get(&ctx, &entered, project).await?))
}
