//! Bringing a project's files into a container.
//!
//! What always holds: the agent makes a folder whole or not at all, so a folder that is there is ready. What goes on
//! now is kept in memory: after a restart of the server, one asks again and the folder tells.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::StreamBody;
use hyper::body::Frame;
use optidev_agent::wire;

use super::model::{Checkout, CheckoutState};
use super::ops::Entered;
use crate::clients::agent::{self, Agent, AgentError};
use crate::clients::objects::{Objects, ObjectsError};
use crate::context::Ctx;
use crate::features::projects::{self, StoredSource};
use crate::kernel::{ContainerId, Problem, ProjectId};

/// Checkouts that go on, or that failed.
#[derive(Clone, Default)]
pub struct Checkouts(Arc<Mutex<HashMap<Key, Going>>>);

/// Why a checkout failed that ended without a result.
const INTERRUPTED: &str = "Bringing the project in was interrupted. Try again.";

type Key = (ContainerId, ProjectId);
/// The state, and what happens or what went wrong.
type Going = (CheckoutState, Option<String>);

impl Checkouts {
    /// Makes sure that the project's folder is in the container; answers at once.
    ///
    /// # Errors
    /// 404 when the workspace has no such project.
    pub async fn begin(
        &self,
        ctx: &Ctx,
        entered: &Entered,
        project: ProjectId,
    ) -> Result<Checkout, Problem> {
        let (project_row, source) =
            projects::source_of(&ctx.services, &entered.grant, project).await?;
        let folder = project_row.folder;
        let key = (entered.identity.container, project);
        if exists(&entered.agent, &folder).await? {
            self.set(key, None);
            return Ok(checkout(project, folder, CheckoutState::Ready, None));
        }
        {
            let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((CheckoutState::Importing, message)) = states.get(&key) {
                return Ok(checkout(
                    project,
                    folder,
                    CheckoutState::Importing,
                    message.clone(),
                ));
            }
            states.insert(key, (CheckoutState::Importing, Some(doing(&source))));
        }
        let message = doing(&source);
        let work = Work {
            states: self.clone(),
            key,
            end: Some((CheckoutState::Failed, Some(INTERRUPTED.to_owned()))),
        };
        let (agent, into) = (entered.agent.clone(), folder.clone());
        let objects = ctx.services.objects.clone();
        let shutdown = ctx.services.shutdown.clone();
        ctx.services.tasks.spawn(async move {
            tokio::select! {
                // The agent drops what is not whole.
                () = shutdown.cancelled() => {}
                result = materialise(&agent, &objects, &into, source) => work.ended(result),
            }
        });
        Ok(checkout(
            project,
            folder,
            CheckoutState::Importing,
            Some(message),
        ))
    }

    /// How far it is.
    ///
    /// # Errors
    /// 404 when the workspace has no such project.
    pub async fn get(
        &self,
        ctx: &Ctx,
        entered: &Entered,
        project: ProjectId,
    ) -> Result<Checkout, Problem> {
        let (row, _) = projects::source_of(&ctx.services, &entered.grant, project).await?;
        let key = (entered.identity.container, project);
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some((CheckoutState::Importing, message)) = known {
            return Ok(checkout(
                project,
                row.folder,
                CheckoutState::Importing,
                message,
            ));
        }
        if exists(&entered.agent, &row.folder).await? {
            return Ok(checkout(project, row.folder, CheckoutState::Ready, None));
        }
        let (state, message) = known.unwrap_or((CheckoutState::Absent, None));
        Ok(checkout(project, row.folder, state, message))
    }

    fn set(&self, key: Key, state: Option<Going>) {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => states.insert(key, state),
            None => states.remove(&key),
        };
    }
}

/// A checkout that goes on: one that ends without a result, by a panic or with the server, has failed.
struct Work {
    states: Checkouts,
    key: Key,
    end: Option<Going>,
}

impl Work {
    fn ended(mut self, result: Result<(), AgentError>) {
        self.end = match result {
            Ok(()) => None,
            // Somebody else made it meanwhile: it is there.
            Err(error) if error.status() == Some(409) => None,
            Err(error) => Some((
                CheckoutState::Failed,
                Some(Problem::from(error).detail.into_owned()),
            )),
        };
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.states.set(self.key, self.end.take());
    }
}

fn checkout(
    project_id: ProjectId,
    folder: String,
    state: CheckoutState,
    message: Option<String>,
) -> Checkout {
    Checkout {
        project_id,
        folder,
        state,
        message,
    }
}

fn doing(source: &StoredSource) -> String {
    match source {
        StoredSource::Empty => "Making the folder".to_owned(),
        StoredSource::Git { url, .. } => format!("Cloning {url}"),
        StoredSource::Archive { .. } => "Unpacking the archive".to_owned(),
    }
}

async fn exists(agent: &Agent, folder: &str) -> Result<bool, Problem> {
    match agent.list(folder).await {
        Ok(_) => Ok(true),
        Err(error) if error.status() == Some(404) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn materialise(
    agent: &Agent,
    objects: &Objects,
    folder: &str,
    source: StoredSource,
) -> Result<(), AgentError> {
    match source {
        StoredSource::Empty => agent.make_project(folder).await,
        StoredSource::Git { url, branch } => {
            agent
                .clone_project(&wire::CloneRequest {
                    folder: folder.to_owned(),
                    url,
                    branch,
                })
                .await
        }
        StoredSource::Archive { key, format } => {
            let archive = objects
                .get(&key)
                .await
                .map_err(|error| unreadable(&error))?;
            // The agent can only say that the archive ended too soon.
            let broken = Arc::new(Mutex::new(None));
            let seen = Arc::clone(&broken);
            let frames = futures_util::StreamExt::map(archive, move |part| {
                part.map(Frame::data).inspect_err(|error| {
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(unreadable(error));
                })
            });
            let body = agent::stream(StreamBody::new(frames));
            let done = agent.import(folder, format.as_str(), body).await;
            let broken = broken.lock().unwrap_or_else(PoisonError::into_inner).take();
            done.map(drop).map_err(|error| broken.unwrap_or(error))
        }
    }
}

/// Why the archive cannot be had, for whoever wants to open the project.
fn unreadable(error: &ObjectsError) -> AgentError {
    tracing::warn!(%error, "the archive of a project cannot be read");
    let (status, detail) = match error {
        ObjectsError::Absent | ObjectsError::Key(_) | ObjectsError::NotConfigured => (
            404,
            "The project's archive is not on this server. Import the project again.",
        ),
        ObjectsError::Unavailable(_) => (
            503,
            "The storage that holds the project's archive does not answer at the moment. Try again in a few minutes.",
        ),
        ObjectsError::Refused(_) | ObjectsError::Disk(_) | ObjectsError::Setting(_) => (
            503,
            "The project's archive cannot be read. Tell the operator, whose log says why.",
        ),
    };
    AgentError::Refused {
        status,
        detail: detail.to_owned(),
        etag: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Clock, Rng};

    #[tokio::test]
    async fn a_checkout_that_panics_has_failed() {
        let (clock, states) = (Clock::fixed(1), Checkouts::default());
        let key = (ContainerId::new(&clock, &Rng), ProjectId::new(&clock, &Rng));
        let work = || {
            states.set(key, Some((CheckoutState::Importing, None)));
            Work {
                states: states.clone(),
                key,
                end: Some((CheckoutState::Failed, Some(INTERRUPTED.to_owned()))),
            }
        };
        let now = || states.0.lock().unwrap().get(&key).map(|going| going.0);
        let one = work();
        let ended = tokio_util::task::TaskTracker::new()
            .spawn(async move {
                let _one = one;
                panic!("as a task might");
            })
            .await;
        assert!(ended.unwrap_err().is_panic());
        assert_eq!(now(), Some(CheckoutState::Failed));
        work().ended(Ok(()));
        assert_eq!(now(), None);
    }
}
