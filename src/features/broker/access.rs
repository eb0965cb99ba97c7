//! Getting in.

use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, RawPathParams};
use axum::http::request::Parts;
use axum::http::{Method, Uri, header};

use super::relay::rest_of;
use crate::authz::permission::ContainersUse;
use crate::context::{Ctx, Services};
use crate::features::audit::Action;
use crate::features::containers::{self, Access, Controller, Entered, Standing};
use crate::kernel::{ContainerId, Problem, WorkspaceId};

/// A request of an owner to the inside of their running container: an extractor, so that no handler forgets it.
pub struct Inside {
    /// The request.
    pub ctx: Ctx,
    /// The container.
    pub entered: Entered,
}

impl Inside {
    /// What has to hold for as long as something of this request stays open.
    pub fn standing(&self) -> Standing<ContainersUse> {
        let actor = &self.ctx.actor;
        Standing::inside(
            &self.ctx.services,
            actor.credential(),
            self.entered.identity,
        )
    }
}

impl FromRequestParts<Services> for Inside {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> Result<Self, Problem> {
        let ctx = Ctx::from_request_parts(parts, services).await?;
        let params = RawPathParams::from_request_parts(parts, services)
            .await
            .map_err(|_| Problem::not_found())?;
        let find = |name: &str| {
            params
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value)
        };
        let workspace: Option<WorkspaceId> = find("workspace").and_then(|text| text.parse().ok());
        let container: Option<ContainerId> = find("container").and_then(|text| text.parse().ok());
        let (Some(workspace), Some(container)) = (workspace, container) else {
            return Err(Problem::not_found());
        };
        let controller = parts
            .extensions
            .get::<Arc<Controller>>()
            .cloned()
            .ok_or_else(|| Problem::internal("the broker's routes have no controller"))?;
        let route = MatchedPath::from_request_parts(parts, services).await;
        let route = route.map_err(|_| Problem::not_found())?;
        let access = access(&parts.method, route.as_str(), &parts.uri, upgrades(parts));
        let entered = containers::enter(&ctx, &controller, workspace, container, access).await?;
        Ok(Self { ctx, entered })
    }
}

/// What the audit log says of a request: looking is told once in a while, everything else each time.
fn access(method: &Method, route: &str, uri: &Uri, upgrade: bool) -> Access {
    let below = route
        .split_once("/{container}")
        .map_or("", |(_, rest)| rest);
    let looks = matches!(*method, Method::GET | Method::HEAD);
    match below {
        "/files/{*path}" if !looks => Access::Act(
            Action::ContainerFileWrite,
            format!("{method} {}", rest_of(uri, "/files/")),
        ),
        "/exec" => Access::Act(Action::ContainerExec, String::new()),
        "/ports/{port}/open" => Access::Act(
            Action::ContainerPreview,
            format!("port {}", rest_of(uri, "/ports/").trim_end_matches("/open")),
        ),
        "/terminals" if !looks => Access::Act(Action::ContainerTerminal, "new".to_owned()),
        "/terminals/{terminal}" if upgrade || !looks => {
            let word = if upgrade { "connected" } else { "ended" };
            let detail = format!("{word} {}", rest_of(uri, "/terminals/"));
            Access::Act(Action::ContainerTerminal, detail)
        }
        _ if looks => Access::Look,
        // A route that is new and that nobody thought of here.
        _ => Access::Act(Action::ContainerExec, format!("{method} {below}")),
    }
}

fn upgrades(parts: &Parts) -> bool {
    parts.headers.contains_key(header::UPGRADE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: Method, below: &str, path: &str, upgrade: bool) -> String {
        let route = format!("/api/v1/workspaces/{{workspace}}/containers/{{container}}{below}");
        let uri: Uri = format!("/api/v1/workspaces/w/containers/c{path}")
            .parse()
            .unwrap();
        match access(&method, &route, &uri, upgrade) {
            Access::Look => "look".to_owned(),
            Access::Act(action, detail) => format!("{} {detail}", action.as_str()),
            Access::Recorded => "nothing".to_owned(),
        }
    }

    #[test]
    fn what_changes_or_runs_something_is_told_each_time() {
        let file = "/files/{*path}";
        assert_eq!(told(Method::GET, file, "/files/a/b", false), "look");
        assert_eq!(
            told(Method::PUT, file, "/files/a/b", false),
            "containers.file_write PUT a/b"
        );
        assert_eq!(told(Method::GET, "/watch", "/watch", false), "look");
        let terminal = "/terminals/{terminal}";
        assert_eq!(told(Method::GET, terminal, "/terminals/t1", false), "look");
        assert_eq!(
            told(Method::GET, terminal, "/terminals/t1", true),
            "containers.terminal connected t1"
        );
        assert_eq!(
            told(Method::POST, "/ports/{port}/open", "/ports/80/open", false),
            "containers.preview port 80"
        );
        assert!(told(Method::POST, "/new", "/new", false).starts_with("containers.exec"));
    }
}
