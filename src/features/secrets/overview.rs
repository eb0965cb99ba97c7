//! What pages show beside the list of a scope: one secret, the projects to choose from, and which values stand in the place of
//! which others.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Scope, SecretItem, Tier, project, secret};
use super::ops::{get, open_told, require_there};
use super::store;
use crate::authz::permission::SecretsRead;
use crate::context::Ctx;
use crate::features::audit::{self, Action};
use crate::kernel::{Problem, ProjectId, WorkspaceId};

/// One secret, with its value when that is visible.
///
/// # Errors
/// 404 when it is not there; 403.
pub async fn read(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    name: &str,
) -> Result<SecretItem, Problem> {
    let grant = ctx.authorize::<SecretsRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    require_there(store::there(&tx, scope).await?)?;
    let row = get(&tx, scope, grant.user(), name).await?;
    drop(tx);
    if Tier::stored(&row.tier) != Tier::Visible {
        return Ok(SecretItem::of(row, None, ctx.now_ms()));
    }
    // As the list tells it, which has no names either: a member's own is nobody else's to know.
    let detail = "the value of 1 visible secret";
    audit::note(ctx, &grant, Action::SecretRead, workspace, detail).await?;
    let opened = open_told(ctx, &grant, vec![row]).await?;
    let (row, value) = opened.into_iter().next().ok_or_else(Problem::not_found)?;
    Ok(SecretItem::of(row, value, ctx.now_ms()))
}

/// Whether a scope has a secret of this name.
///
/// # Errors
/// 404 for a scope that is not there; 403.
pub async fn is_there(
    ctx: &Ctx,
    workspace: WorkspaceId,
    scope: Scope,
    name: &str,
) -> Result<bool, Problem> {
    let grant = ctx.authorize::<SecretsRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    require_there(store::there(&tx, scope).await?)?;
    let found = store::find(&tx, &scope.stored(grant.user()), name).await?;
    Ok(found.is_some())
}

/// How a secret stands to those of the same name in other scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is delivered in the place of the workspace's.
    ForWorkspace,
    /// It is delivered in the place of this project's, and of so many more.
    ForProject(ProjectId, usize),
    /// The caller's container gets their own in its place.
    OwnInstead,
    /// This project, and so many more, have one in its place.
    ProjectInstead(ProjectId, usize),
}

/// The projects of a workspace, and the names of the secrets that the caller's container may get.
pub struct Around {
    /// By name.
    pub projects: Vec<project::Model>,
    workspace: BTreeSet<String>,
    own: BTreeSet<String>,
    of_projects: BTreeMap<String, Vec<ProjectId>>,
}

/// Looks around in a workspace.
///
/// # Errors
/// 404, 403.
pub async fn around(ctx: &Ctx, workspace: WorkspaceId) -> Result<Around, Problem> {
    let grant = ctx.authorize::<SecretsRead>(workspace).await?;
    let tx = ctx.services.store.scoped_read(&grant).await?;
    let own = Scope::Own.stored(grant.user());
    let names = |rows: Vec<secret::Model>| rows.into_iter().map(|row| row.name).collect();
    let mut of_projects: BTreeMap<String, Vec<ProjectId>> = BTreeMap::new();
    for row in store::of_projects(&tx).await? {
        if let Some(project) = Scope::of(&row).project() {
            of_projects.entry(row.name).or_default().push(project);
        }
    }
    Ok(Around {
        projects: store::projects(&tx).await?,
        workspace: names(store::list(&tx, "").await?),
        own: names(store::list(&tx, &own).await?),
        of_projects,
    })
}

impl Around {
    /// The name of a project; empty when it is not there.
    pub fn project_name(&self, id: ProjectId) -> &str {
        let found = self.projects.iter().find(|project| project.id == id);
        found.map_or("", |project| project.name.as_str())
    }

    /// How the secret of this name in `scope` stands to the others.
    pub fn relations(&self, scope: Scope, name: &str) -> Vec<Relation> {
        let mut relations = Vec::new();
        let of_projects = self.of_projects.get(name).map(Vec::as_slice);
        let projects = of_projects.and_then(|projects| projects.split_first());
        if scope != Scope::Workspace && self.workspace.contains(name) {
            relations.push(Relation::ForWorkspace);
        }
        match (scope, projects) {
            (Scope::Own, Some((first, more))) => {
                relations.push(Relation::ForProject(*first, more.len()));
            }
            (Scope::Workspace, Some((first, more))) => {
                relations.push(Relation::ProjectInstead(*first, more.len()));
            }
            _ => {}
        }
        if scope != Scope::Own && self.own.contains(name) {
            relations.push(Relation::OwnInstead);
        }
        relations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrower_scope_stands_in_the_place_of_a_wider_one() {
        let project: ProjectId = "prj_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let around = Around {
            projects: Vec::new(),
            workspace: BTreeSet::from(["ALL".to_owned(), "ALONE".to_owned()]),
            own: BTreeSet::from(["ALL".to_owned()]),
            of_projects: BTreeMap::from([("ALL".to_owned(), vec![project])]),
        };
        let of = |scope, name| around.relations(scope, name);
        assert_eq!(of(Scope::Workspace, "ALONE"), []);
        assert_eq!(
            of(Scope::Workspace, "ALL"),
            [Relation::ProjectInstead(project, 0), Relation::OwnInstead]
        );
        assert_eq!(
            of(Scope::Project(project), "ALL"),
            [Relation::ForWorkspace, Relation::OwnInstead]
        );
        assert_eq!(
            of(Scope::Own, "ALL"),
            [Relation::ForWorkspace, Relation::ForProject(project, 0)]
        );
    }
}
