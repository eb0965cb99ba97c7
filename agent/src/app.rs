//! What one run of the agent knows: the home, its keys, variables, terminals and activity.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::environment::Variables;
use crate::files::write::Locks;
use crate::home::Home;
use crate::ids;
use crate::isolation::Gate;
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::sealing::KeyPair;
use crate::secret_files::SecretFiles;
use crate::terminals::Terminals;

/// Shared by all handlers.
pub type App = Arc<State>;

pub struct State {
    pub home: Arc<Home>,
    pub state: PathBuf,
    pub shell: PathBuf,
    pub boot_id: String,
    pub started_at_ms: i64,
    pub keys: KeyPair,
    pub variables: Variables,
    pub secret_files: SecretFiles,
    pub scratch: Arc<Scratch>,
    pub locks: Locks,
    pub terminals: Terminals,
    pub activity: Arc<ActivityMeter>,
    /// Whether anything may be started yet.
    pub gate: Gate,
    /// The egress proxy's own port, left out of the list of ports.
    pub proxy_port: Option<u16>,
    /// The protocol's own port, where it is served in a pod; left out likewise.
    pub protocol_port: Option<u16>,
    /// Cancelled when the agent has to end.
    pub stop: CancellationToken,
    /// Every task that outlives its request; shutdown waits for them.
    pub tasks: TaskTracker,
}

/// When something last happened, and how much runs.
pub struct ActivityMeter {
    last_ms: AtomicI64,
    commands: AtomicU32,
}

impl ActivityMeter {
    pub fn new() -> Self {
        Self {
            last_ms: AtomicI64::new(ids::now_ms()),
            commands: AtomicU32::new(0),
        }
    }

    pub fn touch(&self) {
        self.last_ms.store(ids::now_ms(), Ordering::Relaxed);
    }

    /// A running command is activity for as long as it runs.
    pub fn last_ms(&self) -> i64 {
        if self.commands() > 0 {
            self.touch();
        }
        self.last_ms.load(Ordering::Relaxed)
    }

    pub fn commands(&self) -> u32 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Counts a command until the guard is dropped; `None` when `limit` of them run.
    pub fn command(self: &Arc<Self>, limit: u32) -> Option<CommandGuard> {
        if self.commands.fetch_add(1, Ordering::Relaxed) >= limit {
            self.commands.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        self.touch();
        Some(CommandGuard(Arc::clone(self)))
    }
}

/// One running command.
pub struct CommandGuard(Arc<ActivityMeter>);

impl Drop for CommandGuard {
    fn drop(&mut self) {
        self.0.commands.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

/// Runs file-system work off the event loop.
pub async fn blocking<T, F>(work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Problem> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Problem::internal(format!(
            "A worker of the agent failed: {error}"
        ))),
    }
}
