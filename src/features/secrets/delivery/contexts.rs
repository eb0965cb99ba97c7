//! What a container gets: of each place in it, its secrets by name.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ColumnTrait, Condition};

use crate::features::secrets::model::{Scope, project, secret, version};
use crate::kernel::{ProjectId, SecretId, UserId};
use crate::store::{ScopedRead, StoreError};

/// How many values are read at once.
const AT_ONCE: usize = 200;

/// The secrets of one place: the narrower scope's in the place of those of the same name.
pub type ByName = BTreeMap<String, secret::Model>;

/// A project that has secrets of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Which.
    pub id: ProjectId,
    /// The name of its folder below `projects`.
    pub folder: String,
}

/// What the container of one member gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Contexts {
    /// Outside of the projects below: the workspace's, then the member's own.
    pub workspace: ByName,
    /// In a project's folder: the workspace's, then the project's, then the member's own.
    pub projects: Vec<(Project, ByName)>,
}

impl Contexts {
    /// Each secret once.
    pub fn secrets(&self) -> BTreeMap<SecretId, &secret::Model> {
        let sets = self.projects.iter().map(|(_, set)| set);
        let rows = std::iter::once(&self.workspace).chain(sets);
        let rows = rows.flat_map(BTreeMap::values);
        rows.map(|row| (row.id, row)).collect()
    }

    /// The folder of a project that has secrets here.
    pub fn folder(&self, id: ProjectId) -> Option<&str> {
        let mut projects = self.projects.iter().map(|(project, _)| project);
        let found = projects.find(|project| project.id == id)?;
        Some(&found.folder)
    }
}

/// All secrets of a workspace but those of members' own who are not named, and the folders of its projects.
pub struct Stock {
    rows: Vec<secret::Model>,
    folders: BTreeMap<ProjectId, String>,
}

impl Stock {
    /// Reads what the containers of `owners` are made of.
    pub async fn read(tx: &ScopedRead, owners: &BTreeSet<UserId>) -> Result<Self, StoreError> {
        let own = owners.iter().map(ToString::to_string);
        let scopes = std::iter::once(String::new()).chain(own);
        let condition = Condition::any()
            .add(secret::Column::Scope.is_in(scopes))
            .add(secret::Column::Scope.starts_with(Scope::OF_PROJECTS));
        let rows = tx.find::<secret::Entity>().filter(condition).all().await?;
        let folders = if rows.iter().any(|row| Scope::of(row).project().is_some()) {
            let rows = tx.find::<project::Entity>().all().await?.into_iter();
            rows.map(|row| (row.id, row.slug)).collect()
        } else {
            BTreeMap::new()
        };
        Ok(Self { rows, folders })
    }

    /// What `owner`'s container gets. A project that was deleted has no folder that anybody gets something in.
    pub fn of(&self, owner: UserId) -> Contexts {
        let own = self.scope(&owner.to_string());
        let workspace = self.scope("");
        let scopes: BTreeSet<&str> = self.rows.iter().map(|row| row.scope.as_str()).collect();
        let project = |scope: &str| {
            let id = Scope::read(scope).project()?;
            let folder = self.folders.get(&id)?.clone();
            let set = layered([&workspace, &self.scope(scope), &own]);
            Some((Project { id, folder }, set))
        };
        Contexts {
            projects: scopes.into_iter().filter_map(project).collect(),
            workspace: layered([&workspace, &own]),
        }
    }

    fn scope(&self, scope: &str) -> Vec<&secret::Model> {
        let rows = self.rows.iter();
        rows.filter(|row| row.scope == scope).collect()
    }
}

/// Each name's secret, of the last layer that has it.
fn layered<const N: usize>(layers: [&Vec<&secret::Model>; N]) -> ByName {
    let rows = layers.into_iter().flatten();
    rows.map(|row| (row.name.clone(), (*row).clone())).collect()
}

/// The sealed values of these secrets, of the version that their rows name; those that are gone are left out.
pub async fn values(
    tx: &ScopedRead,
    secrets: &BTreeMap<SecretId, &secret::Model>,
) -> Result<BTreeMap<SecretId, version::Model>, StoreError> {
    let secrets: Vec<&secret::Model> = secrets.values().copied().collect();
    let mut found = BTreeMap::new();
    for some in secrets.chunks(AT_ONCE) {
        let of = |row: &&secret::Model| {
            Condition::all()
                .add(version::Column::SecretId.eq(row.id))
                .add(version::Column::Version.eq(row.version))
        };
        let any = some.iter().map(of).fold(Condition::any(), Condition::add);
        let rows = tx.find::<version::Entity>().filter(any).all().await?;
        found.extend(rows.into_iter().map(|row| (row.secret_id, row)));
    }
    Ok(found)
}

#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::kernel::{Clock, Rng, WorkspaceId};

    /// A secret's row.
    pub fn row(name: &str, scope: &str) -> secret::Model {
        let clock = Clock::fixed(1);
        let user = UserId::new(&clock, &Rng);
        secret::Model {
            workspace_id: WorkspaceId::new(&clock, &Rng),
            id: SecretId::new(&clock, &Rng),
            name: name.to_owned(),
            tier: "visible".to_owned(),
            delivered_as: "environment".to_owned(),
            scope: scope.to_owned(),
            description: String::new(),
            expand: false,
            refers_to: String::new(),
            expires_at_ms: None,
            reminded: 0,
            last_delivered_at_ms: None,
            version: 1,
            created_by: user,
            created_at_ms: 1,
            updated_by: user,
            updated_at_ms: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::row;
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[test]
    fn the_narrower_scope_wins_by_name_and_nobody_gets_what_is_somebody_elses() {
        let clock = Clock::fixed(1);
        let new = || ProjectId::new(&clock, &Rng);
        let (app, gone, me, other) = (
            new(),
            new(),
            UserId::new(&clock, &Rng),
            UserId::new(&clock, &Rng),
        );
        let rows = vec![
            row("A", ""),
            row("B", ""),
            row("C", ""),
            row("B", &app.to_string()),
            row("C", &app.to_string()),
            row("D", &app.to_string()),
            row("C", &me.to_string()),
            row("E", &other.to_string()),
            row("F", &gone.to_string()),
        ];
        let stock = Stock {
            rows,
            folders: BTreeMap::from([(app, "app".to_owned()), (new(), "none".to_owned())]),
        };
        let contexts = stock.of(me);
        let shown = |set: &ByName| {
            let each = set.values().map(|row| {
                let scope = match Scope::of(row) {
                    Scope::Workspace => "workspace",
                    Scope::Project(_) => "project",
                    Scope::Own => "own",
                };
                format!("{} {scope}", row.name)
            });
            each.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            shown(&contexts.workspace),
            "A workspace, B workspace, C own"
        );
        assert_eq!(contexts.projects.len(), 1);
        let (project, set) = &contexts.projects[0];
        assert_eq!((project.id, project.folder.as_str()), (app, "app"));
        assert_eq!(shown(set), "A workspace, B project, C own, D project");
        // The workspace's and the project's C are in the place of none.
        assert_eq!(contexts.secrets().len(), 5);
        assert_eq!(contexts.folder(app), Some("app"));
        assert_eq!(contexts.folder(gone), None);
    }
}
