//! The launcher's end: does what the server asks of the local runtime.
//!
//! What always holds: every path is worked out here, from an id and from settings that this process read itself. Each
//! running container has a task that owns it and works on one request at a time; it tells the server when it ends.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::local::{AGENT_SOCKET, LocalRuntime, Process};
use super::{Ended, RuntimeError};
use crate::clients::launcher::{Answer, Ask, Link, PAGE, Problem, Started, Told};
use crate::config::LocalRuntimeConfig;
use crate::kernel::{Clock, ContainerId};

/// Containers, for a server at the other end of a link.
pub struct Launching {
    config: LocalRuntimeConfig,
    apps_domain: String,
    folder: PathBuf,
    clock: Clock,
    link: Arc<Link>,
    tasks: TaskTracker,
    runtime: Mutex<Option<Arc<LocalRuntime>>>,
    next: AtomicU64,
    instances: Mutex<HashMap<u64, Instance>>,
}

/// What is known of a running container outside of its task.
#[derive(Clone)]
struct Instance {
    container: ContainerId,
    started: Started,
    work: mpsc::Sender<Work>,
}

/// A request for one container, and where its answer goes.
struct Work {
    ask: Ask,
    answer: oneshot::Sender<Done>,
}

type Done = Result<(Answer, Option<OwnedFd>), Problem>;

impl Launching {
    /// Nothing is touched before [`Ask::Open`].
    pub fn new(
        config: LocalRuntimeConfig,
        apps_domain: String,
        folder: PathBuf,
        link: Arc<Link>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            config,
            apps_domain,
            folder,
            clock: Clock::system(),
            link,
            tasks,
            runtime: Mutex::new(None),
            next: AtomicU64::new(1),
            instances: Mutex::default(),
        }
    }

    /// Does one thing.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn answer(self: &Arc<Self>, ask: Ask) -> Done {
        let answer = match ask {
            Ask::Open => self.open()?,
            Ask::PrepareVolume(container) => {
                Answer::Text(self.runtime()?.prepare_volume(container).await?)
            }
            Ask::Adopt(container) => self.adopt(container).await?,
            Ask::Launch(container) => {
                let process = self.runtime()?.launch(container).await?;
                self.keep(process)?
            }
            Ask::WatchAgent(instance)
            | Ask::Prove(instance)
            | Ask::Egress(instance)
            | Ask::Remember { instance, .. }
            | Ask::OutOfMemory(instance)
            | Ask::LastWords(instance)
            | Ask::Kill(instance) => return self.pass(instance, ask).await,
            Ask::RemoveVolume(container) => {
                if self.running(container).is_some() {
                    return Err(Problem::Failed(format!("{container} runs; stop it first")));
                }
                self.runtime()?.remove_volume(container).await?;
                Answer::Done
            }
            Ask::Known(after) => {
                let mut known = self.runtime()?.known().await?;
                known.sort_unstable();
                known.retain(|container| after.is_none_or(|after| *container > after));
                known.truncate(PAGE);
                Answer::Containers(known)
            }
            Ask::StartVault { .. } | Ask::StopVault => {
                return Err(Problem::Failed("that is not the runtime's".to_owned()));
            }
        };
        Ok((answer, None))
    }

    fn open(&self) -> Result<Answer, Problem> {
        let runtime = LocalRuntime::open(
            &self.config,
            &self.apps_domain,
            self.folder.clone(),
            self.clock.clone(),
        )?;
        let mut opened = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        *opened = Some(Arc::new(runtime));
        Ok(Answer::Done)
    }

    fn runtime(&self) -> Result<Arc<LocalRuntime>, Problem> {
        let opened = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        opened
            .clone()
            .ok_or_else(|| Problem::Failed("the runtime was not opened yet".to_owned()))
    }

    /// The instance that runs already, or that of an earlier server.
    async fn adopt(self: &Arc<Self>, container: ContainerId) -> Result<Answer, Problem> {
        if let Some(instance) = self.running(container) {
            return Ok(Answer::Instance(instance.started));
        }
        match self.runtime()?.adopt(container).await? {
            Some(process) => self.keep(process),
            None => Ok(Answer::None),
        }
    }

    fn running(&self, container: ContainerId) -> Option<Instance> {
        let instances = self.lock();
        instances
            .values()
            .find(|instance| instance.container == container)
            .cloned()
    }

    /// Gives a running container its task.
    fn keep(self: &Arc<Self>, process: Process) -> Result<Answer, Problem> {
        let runtime = self.runtime()?;
        let container = process.container();
        let started = Started {
            instance: self.next.fetch_add(1, Ordering::Relaxed),
            folder: process.socket_folder(),
            socket: AGENT_SOCKET.to_owned(),
            boot_id: process.boot_id().map(str::to_owned),
        };
        let (work, asked) = mpsc::channel(8);
        let instance = Instance {
            container,
            started: started.clone(),
            work,
        };
        self.lock().insert(started.instance, instance);
        let (launching, number) = (Arc::clone(self), started.instance);
        self.tasks.spawn(async move {
            launching.tend(&runtime, number, process, asked).await;
            launching.lock().remove(&number);
        });
        Ok(Answer::Instance(started))
    }

    async fn tend(
        &self,
        runtime: &LocalRuntime,
        number: u64,
        mut process: Process,
        mut asked: mpsc::Receiver<Work>,
    ) {
        let mut told = false;
        loop {
            let work = tokio::select! {
                how = process.ended(), if !told => {
                    told = true;
                    self.tell_ended(number, how).await;
                    continue;
                }
                work = asked.recv() => work,
            };
            let Some(Work { ask, answer }) = work else {
                return;
            };
            if matches!(ask, Ask::Kill(_)) {
                let killed = runtime.kill(process).await;
                let _ = answer.send(killed.map(|()| (Answer::Done, None)).map_err(Problem::from));
                return;
            }
            let _ = answer.send(work_on(runtime, &mut process, ask).await);
        }
    }

    async fn tell_ended(&self, instance: u64, how: Ended) {
        if let Ok(text) = serde_json::to_vec(&Told::Ended { instance, how }) {
            // A server that is gone has nobody to tell.
            let _ = self.link.send(&text, None).await;
        }
    }

    async fn pass(&self, number: u64, ask: Ask) -> Done {
        let absent = || Problem::Failed("the container has ended".to_owned());
        let work = self.lock().get(&number).map(|found| found.work.clone());
        let (answer, answered) = oneshot::channel();
        let work = work.ok_or_else(absent)?;
        work.send(Work { ask, answer })
            .await
            .map_err(|_| absent())?;
        answered.await.map_err(|_| absent())?
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Instance>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn work_on(runtime: &LocalRuntime, process: &mut Process, ask: Ask) -> Done {
    let answer = match ask {
        Ask::WatchAgent(_) => {
            runtime.watch_agent(process)?;
            Answer::Done
        }
        Ask::Prove(_) => Answer::Text(runtime.prove_isolation(process).await?),
        Ask::Egress(_) => {
            let listener = runtime.bind_egress(process)?;
            return Ok((Answer::Done, Some(listener)));
        }
        Ask::Remember { boot_id, .. } => {
            runtime.remember(process, &boot_id).await?;
            Answer::Done
        }
        Ask::OutOfMemory(_) => Answer::Count(process.out_of_memory().await),
        Ask::LastWords(_) => Answer::Text(process.last_words()),
        _ => return Err(Problem::Failed("that is for no container".to_owned())),
    };
    Ok((answer, None))
}

impl From<RuntimeError> for Problem {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::Machine(text) => Self::Machine(text),
            RuntimeError::Unproven(text) => Self::Unproven(text),
            RuntimeError::Failed(text) => Self::Failed(text),
        }
    }
}
