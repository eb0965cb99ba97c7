//! From a message to a turn.
//!
//! What always holds: a message that is in the database is followed by a turn which ends with `done`, whether or not
//! whoever sent it still waits for the answer; of a message that could not be written nobody hears.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::super::upstream::Upstream;
use super::hub::Running;
use super::pen::Pen;
use super::prompt::Project;
use super::turn::Turn;
use super::workbench::Workbench;
use crate::authz::permission::AssistantUse;
use crate::features::containers::Standing;
use crate::kernel::Problem;
use crate::store::Entry;

/// A message, and what its turn works with.
pub struct Begin {
    /// What the user says.
    pub text: String,
    /// What the audit log says of it.
    pub entry: Entry,
    /// The session's title, when it has none yet.
    pub title: Option<String>,
    /// Writes what happens.
    pub pen: Pen,
    /// Where the tools act.
    pub bench: Arc<dyn Workbench>,
    /// What the model is told.
    pub project: Project,
    /// What need not be asked.
    pub allowed: BTreeSet<String>,
    /// Ends the turn early.
    pub cancel: CancellationToken,
    /// What the turn rests on.
    pub standing: Standing<AssistantUse>,
}

impl Begin {
    /// Writes the message and runs its turn, in a task that no request can take with it. The receiver is told when the
    /// message is durable, or why it is not; without an answer, the server is stopping.
    pub fn start(
        self,
        upstream: Arc<Upstream>,
        running: Running,
    ) -> oneshot::Receiver<Result<(), Problem>> {
        let (told, receiver) = oneshot::channel();
        let tasks = self.pen.services().tasks.clone();
        tasks.spawn(self.run(upstream, running, told));
        receiver
    }

    async fn run(
        mut self,
        upstream: Arc<Upstream>,
        running: Running,
        told: oneshot::Sender<Result<(), Problem>>,
    ) {
        let history = match self.pen.accept(self.text, self.title, self.entry).await {
            Ok(history) => history,
            Err(problem) => {
                // Idle first, so that the message can be sent again on the answer.
                drop(running);
                // Nobody waiting is no failure.
                let _ = told.send(Err(problem));
                return;
            }
        };
        let _ = told.send(Ok(()));
        let turn = Turn {
            pen: self.pen,
            bench: self.bench,
            project: self.project,
            history,
            allowed: self.allowed,
            cancel: self.cancel,
            standing: self.standing,
            lost: CancellationToken::new(),
        };
        turn.run(upstream, running).await;
    }
}
