//! Containers as a feature sees them that gives something to running ones, whoever they belong to.

use super::controller::Controller;
use super::model::{Identity, State, Wanted};
use super::store::{self, container};
use crate::clients::agent::Agent;
use crate::kernel::Problem;
use crate::store::{ScopedRead, StoreError};

/// A container that is not being deleted.
pub struct Known(container::Model);

impl Known {
    /// Whose it is.
    pub fn identity(&self) -> Identity {
        self.0.identity()
    }

    /// Whether it runs: as the controller sees it, or without one, as was written last.
    pub fn is_running(&self, controller: Option<&Controller>) -> bool {
        let observed = match controller {
            Some(controller) => controller.observed(&self.0),
            None => self.0.observed(),
        };
        observed.wanted == Wanted::Running && observed.state == State::Running
    }

    /// What talks to it. Whoever has this acts for the server: no user's request is passed on with it.
    ///
    /// # Errors
    /// `conflict` with the state, in words, when it does not run.
    pub async fn agent(&self, controller: &Controller) -> Result<Agent, Problem> {
        controller.agent_of(&self.0).await
    }
}

/// All containers of the workspace.
///
/// # Errors
/// When the database does not answer.
pub async fn known(tx: &ScopedRead) -> Result<Vec<Known>, StoreError> {
    let rows = store::list(tx).await?.into_iter();
    let there = rows.filter(|row| row.wanted() != Wanted::Deleted);
    Ok(there.map(Known).collect())
}
