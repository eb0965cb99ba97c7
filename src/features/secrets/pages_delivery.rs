//! The part of the page of secrets that shows running containers with old values, and its button.

use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Extension, Router};
use serde::Deserialize;

use super::delivery::ops::{
    self, DeliveredTo, Deliveries, DeliveryOutcome, SecretsInContainer, Whose,
};
use crate::authz::Role;
use crate::context::{Ctx, Services};
use crate::features::members;
use crate::kernel::{Code, Problem, UserId, WorkspaceId};
use crate::web::{PageForm, Path, time};

/// The route of the button.
pub fn pages(deliveries: Deliveries) -> Router<Services> {
    Router::new()
        .route("/workspaces/{workspace}/secrets/deliver", post(deliver))
        .layer(Extension(deliveries))
}

/// What is in a running container and is not current.
pub struct Row {
    /// The owner's name.
    pub owner: String,
    /// Whether it is the reader's.
    pub mine: bool,
    /// Names, those of projects' secrets with a word more.
    pub names: Vec<String>,
    /// How many more of the owner's own.
    pub own: usize,
    /// When something was delivered last.
    pub delivered: Option<String>,
}

/// The section; nothing is shown without rows.
#[derive(Default)]
pub struct Section {
    /// Running containers with old values.
    pub rows: Vec<Row>,
}

/// What the section shows to the reader.
///
/// # Errors
/// 404, 403.
pub async fn section(ctx: &Ctx, workspace: WorkspaceId) -> Result<Section, Problem> {
    let all = ops::in_containers(ctx, None, workspace).await?;
    let old = all.into_iter().filter(|one| !one.current);
    Ok(Section {
        rows: old.map(|one| row(one, ctx.actor.user())).collect(),
    })
}

fn row(one: SecretsInContainer, reader: UserId) -> Row {
    let names = one.outdated.into_iter().map(|secret| {
        let project = secret.project_id.map_or("", |_| " of a project");
        let what = match (secret.delivered_version, secret.current_version) {
            (None, _) => " (new)",
            (_, None) => " (removed)",
            _ => "",
        };
        format!("{}{project}{what}", secret.name)
    });
    Row {
        mine: one.owner.id == reader,
        names: names.collect(),
        own: one.outdated_own,
        delivered: one.delivered_at_ms.map(time::minute),
        owner: one.owner.name,
    }
}

#[derive(Deserialize)]
struct Nothing {}

/// Delivers to whichever containers the person may deliver to.
async fn deliver(
    Extension(deliveries): Extension<Deliveries>,
    Path(workspace): Path<WorkspaceId>,
    PageForm {
        page,
        form: Nothing {},
    }: PageForm<Nothing>,
) -> Result<Response, Problem> {
    let chip = members::workspace_chip(&page.ctx, workspace).await?;
    let role: Option<Role> = chip.role.parse().ok();
    // Who may to none is refused by the operation.
    let whose = role.and_then(ops::may_deliver).unwrap_or(Whose::Mine);
    let told = ops::deliver_now(&page.ctx, &deliveries, workspace, whose).await?;
    match failures(&told) {
        None => Ok(Redirect::to(&format!("/workspaces/{workspace}/secrets")).into_response()),
        Some(detail) => Err(Problem::new(Code::Conflict, detail)),
    }
}

/// What did not work, in sentences.
fn failures(told: &[DeliveredTo]) -> Option<String> {
    let failed = told
        .iter()
        .filter(|one| one.outcome == DeliveryOutcome::Failed);
    let failed: Vec<String> = failed
        .map(|one| {
            let reason = one.reason.as_deref().unwrap_or_default();
            format!(
                "The container of {} has its old values still. {reason}",
                one.owner.name
            )
        })
        .collect();
    (!failed.is_empty()).then(|| failed.join(" "))
}
