//! The sets of values that containers get, as far as a change shows in them: what refers to what in each.
//!
//! A container gets the workspace's values, a project's in the place of those, and its owner's own in the place of both. So a
//! workspace's value may be part of as many sets as there are projects, and a change that is well in one may close a circle
//! in another. Sets with a member's own values are looked at when that member changes one: anybody else would learn from the
//! answer what that member has.

use std::collections::BTreeMap;

use super::model::{Scope, secret, words};
use super::references::{self, Graph};
use super::store;
use crate::kernel::{Problem, UserId};
use crate::store::ScopedRead;

/// Every set of values that a change of one scope shows in.
pub struct Effective {
    /// What the scope itself has: the part that changes.
    changed: Graph,
    /// For each set, what lies below the scope's values and what lies above them.
    around: Vec<(Graph, Graph)>,
}

impl Effective {
    /// As it is before a change.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read(tx: &ScopedRead, scope: Scope, user: UserId) -> Result<Self, Problem> {
        let changed = graph(store::list(tx, &scope.stored(user)).await?);
        let mut around = Vec::new();
        match scope {
            Scope::Project(_) => around.push((workspace(tx).await?, Graph::new())),
            Scope::Workspace => {
                around.push((Graph::new(), Graph::new()));
                let projects = store::of_referring_projects(tx).await?;
                around.extend(
                    projects
                        .into_values()
                        .map(|rows| (Graph::new(), graph(rows))),
                );
            }
            Scope::Own => {
                let workspace = workspace(tx).await?;
                for rows in store::of_referring_projects(tx).await?.into_values() {
                    let mut below = workspace.clone();
                    below.extend(graph(rows));
                    around.push((below, Graph::new()));
                }
                // The set without a project: what a member's own refers to is there in every container.
                around.insert(0, (workspace, Graph::new()));
            }
        }
        Ok(Self { changed, around })
    }

    /// A value is set, and refers to `to`.
    pub fn set(&mut self, name: &str, to: Vec<String>) {
        self.changed.insert(name.to_owned(), to);
    }

    /// What is wrong with the references that can be followed from the scope's own `name`, in any set.
    pub fn complaint(&self, name: &str) -> Option<String> {
        self.around
            .iter()
            .filter(|(_, above)| !above.contains_key(name))
            .find_map(|around| references::complaint(&self.whole(around), std::iter::once(name)))
    }

    /// Takes a value away. Answers who refers to a name that stands for nothing then, or else what is wrong with the references
    /// to what stands in its place.
    pub fn remove(&mut self, name: &str) -> Result<(), Left> {
        self.changed.remove(name);
        for around in &self.around {
            let whole = self.whole(around);
            let referring = whole
                .iter()
                .filter(|(from, to)| from.as_str() != name && to.iter().any(|one| one == name));
            let referring: Vec<&str> = referring.map(|(from, _)| from.as_str()).collect();
            if referring.is_empty() {
                continue;
            }
            if !whole.contains_key(name) {
                let names = referring.iter().map(|one| (*one).to_owned());
                return Err(Left::Alone(names.collect()));
            }
            if let Some(circle) = references::complaint(&whole, referring.into_iter()) {
                return Err(Left::Wrong(circle));
            }
        }
        Ok(())
    }

    fn whole(&self, (below, above): &(Graph, Graph)) -> Graph {
        let layers = [below, &self.changed, above];
        let all = layers.into_iter().flatten();
        all.map(|(name, to)| (name.clone(), to.clone())).collect()
    }
}

/// What a value leaves behind that goes.
#[derive(Debug)]
pub enum Left {
    /// These refer to it, and nothing stands in its place.
    Alone(Vec<String>),
    /// What stands in its place makes references wrong: how, in a sentence.
    Wrong(String),
}

async fn workspace(tx: &ScopedRead) -> Result<Graph, Problem> {
    Ok(graph(store::list(tx, "").await?))
}

fn graph(rows: Vec<secret::Model>) -> Graph {
    let edges = rows.into_iter().map(|row| {
        let to = if row.expand {
            words(&row.refers_to)
        } else {
            Vec::new()
        };
        (row.name, to)
    });
    edges.collect::<BTreeMap<_, _>>()
}

#[cfg(test)]
mod tests {
    use super::super::references::testing::graph;
    use super::*;

    #[test]
    fn the_narrower_wins_and_each_set_is_looked_at() {
        // The workspace's URL refers to HOST, which a project has in its own way.
        let mut sets = Effective {
            changed: graph(&[("URL", ""), ("HOST", "")]),
            around: vec![
                (Graph::new(), Graph::new()),
                (Graph::new(), graph(&[("HOST", "URL")])),
            ],
        };
        assert_eq!(sets.complaint("URL"), None);
        sets.set("URL", vec!["HOST".to_owned()]);
        let circle = sets.complaint("URL").unwrap();
        assert!(circle.contains("URL -> HOST -> URL"), "{circle}");
        // Where the project has the name itself, the workspace's counts for nothing.
        sets.around[1].1 = graph(&[("HOST", "URL"), ("URL", "")]);
        assert_eq!(sets.complaint("URL"), None);
        // A name that only the project has is none for the workspace's.
        sets.around[1].1 = graph(&[("ONLY", "")]);
        sets.set("URL", vec!["ONLY".to_owned()]);
        let missing = sets.complaint("URL").unwrap();
        assert!(missing.contains("no secret ONLY"), "{missing}");
    }

    #[test]
    fn what_goes_is_missed_where_nothing_stands_in_its_place() {
        let sets = |above: &[(&str, &str)]| Effective {
            changed: graph(&[("HOST", "")]),
            around: vec![(Graph::new(), Graph::new()), (Graph::new(), graph(above))],
        };
        let Err(Left::Alone(names)) = sets(&[("URL", "HOST")]).remove("HOST") else {
            panic!("the project's URL refers to it");
        };
        assert_eq!(names, ["URL"]);
        assert!(
            sets(&[("URL", "HOST"), ("HOST", "")])
                .remove("HOST")
                .is_ok()
        );
        assert!(sets(&[("HOST", "")]).remove("HOST").is_ok());
        // A project's HOST goes, and the workspace's refers back to what refers to it.
        let mut back = Effective {
            changed: graph(&[("HOST", ""), ("URL", "HOST")]),
            around: vec![(graph(&[("HOST", "URL"), ("URL", "")]), Graph::new())],
        };
        let Err(Left::Wrong(circle)) = back.remove("HOST") else {
            panic!("a circle would be closed");
        };
        assert!(circle.contains("URL -> HOST -> URL"), "{circle}");
    }
}
