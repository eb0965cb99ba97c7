//! Limits of memory and processes: control groups where the server may make them, else resource limits.
//!
//! Control groups hold for the container as a whole. Resource limits are weaker: the memory of each process, and the
//! processes of the container's user.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::{Pid, Resource, Rlimit};

use crate::config::LocalRuntimeConfig;
use crate::features::containers::runtime::RuntimeError;
use crate::kernel::ContainerId;

const MOUNT: &str = "/sys/fs/cgroup";
/// A group may be without processes for this long while its container starts.
const YOUNG_MS: i64 = 60_000;

/// How this machine limits containers.
pub enum Limiter {
    /// Version 1: a hierarchy for each controller.
    V1 {
        /// `<memory hierarchy>/optidev`
        memory: PathBuf,
        /// `<pids hierarchy>/optidev`
        pids: PathBuf,
    },
    /// Version 2: one hierarchy.
    V2(PathBuf),
    /// No control groups.
    Rlimits,
}

/// The control groups of one container; none with resource limits.
#[derive(Debug, Clone)]
pub struct Group {
    folders: Vec<PathBuf>,
    events: Option<PathBuf>,
}

impl Limiter {
    /// Takes the best that works here: it is tried. Groups that killed servers left behind are removed.
    pub fn detect(config: &LocalRuntimeConfig, now_ms: i64) -> Self {
        let mount = Path::new(MOUNT);
        let candidates = [
            Self::V1 {
                memory: mount.join("memory/optidev"),
                pids: mount.join("pids/optidev"),
            },
            Self::V2(mount.join("optidev")),
        ];
        for candidate in candidates {
            if candidate.works(config) {
                candidate.sweep(now_ms);
                return candidate;
            }
        }
        Self::Rlimits
    }

    /// Removes groups without processes. Other servers may be starting containers on this machine: young ones stay.
    fn sweep(&self, now_ms: i64) {
        let bases = match self {
            Self::V1 { memory, pids } => vec![memory, pids],
            Self::V2(base) => vec![base],
            Self::Rlimits => Vec::new(),
        };
        for entry in bases
            .into_iter()
            .filter_map(|base| fs::read_dir(base).ok())
            .flatten()
            .flatten()
        {
            let ours = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.parse::<ContainerId>().is_ok());
            let made = entry.metadata().and_then(|meta| meta.modified()).ok();
            let made_ms = made
                .and_then(|made| made.duration_since(UNIX_EPOCH).ok())
                .and_then(|since| i64::try_from(since.as_millis()).ok());
            if ours && made_ms.is_some_and(|made_ms| now_ms - made_ms > YOUNG_MS) {
                // Refused by the kernel when a process is in it.
                let _ = fs::remove_dir(entry.path());
            }
        }
    }

    fn works(&self, config: &LocalRuntimeConfig) -> bool {
        if let Self::V2(base) = self {
            if !Path::new(MOUNT).join("cgroup.controllers").exists()
                || super::volume::make_folder(base, 0o755).is_err()
            {
                return false;
            }
            let _ = fs::write(base.join("cgroup.subtree_control"), "+memory +pids");
        }
        let Ok(group) = self.make("probe", config) else {
            return false;
        };
        group.remove();
        true
    }

    /// Says which limits hold, for the progress display.
    pub fn describe(&self, config: &LocalRuntimeConfig) -> String {
        let (memory, pids) = (config.memory_mib, config.pids);
        match self {
            Self::V1 { .. } | Self::V2(_) => {
                format!("at most {memory} MiB of memory and {pids} processes (control groups)")
            }
            Self::Rlimits => {
                format!(
                    "at most {memory} MiB of memory for each process and {pids} processes (resource limits)"
                )
            }
        }
    }

    /// Makes the container's group, with its limits set. Blocks while what an earlier start left goes.
    pub fn group(
        &self,
        container: ContainerId,
        config: &LocalRuntimeConfig,
    ) -> Result<Group, RuntimeError> {
        self.make(&container.to_string(), config)
            .map_err(|error| RuntimeError::io("making the container's control group", error))
    }

    /// The group of a container that an earlier server started.
    pub fn existing(&self, container: ContainerId) -> Group {
        self.named(&container.to_string())
    }

    fn named(&self, name: &str) -> Group {
        match self {
            Self::V1 { memory, pids } => Group {
                events: Some(memory.join(name).join("memory.oom_control")),
                folders: vec![memory.join(name), pids.join(name)],
            },
            Self::V2(base) => Group {
                events: Some(base.join(name).join("memory.events")),
                folders: vec![base.join(name)],
            },
            Self::Rlimits => Group {
                folders: Vec::new(),
                events: None,
            },
        }
    }

    fn make(&self, name: &str, config: &LocalRuntimeConfig) -> std::io::Result<Group> {
        let group = self.named(name);
        // What an earlier start left is removed first: it would count its events again.
        group.remove();
        let memory = (config.memory_mib << 20).to_string();
        let pids = config.pids.to_string();
        let done = (|| {
            for folder in &group.folders {
                fs::create_dir_all(folder)?;
            }
            match self {
                Self::V1 {
                    memory: memory_base,
                    pids: pids_base,
                } => {
                    let folder = memory_base.join(name);
                    fs::write(folder.join("memory.limit_in_bytes"), &memory)?;
                    // Absent where swap is not counted; then there is no swap to hide in or nobody counts it.
                    let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), &memory);
                    fs::write(pids_base.join(name).join("pids.max"), &pids)
                }
                Self::V2(base) => {
                    let folder = base.join(name);
                    fs::write(folder.join("memory.max"), &memory)?;
                    let _ = fs::write(folder.join("memory.swap.max"), "0");
                    fs::write(folder.join("pids.max"), &pids)
                }
                Self::Rlimits => Ok(()),
            }
        })();
        if done.is_err() {
            group.remove();
        }
        done.map(|()| group)
    }

    /// Puts the waiting process `pid` under the limits; all that it starts inherits them. Blocks for a moment: the
    /// kernel moves a process only when no other is being made.
    pub fn apply(
        &self,
        group: &Group,
        pid: i32,
        config: &LocalRuntimeConfig,
    ) -> Result<(), RuntimeError> {
        for folder in &group.folders {
            fs::write(folder.join("cgroup.procs"), pid.to_string()).map_err(|error| {
                RuntimeError::io("putting the container into its control group", error)
            })?;
        }
        let mut limits = vec![(Resource::Core, 0, 0), (Resource::Nofile, 65_536, 65_536)];
        if matches!(self, Self::Rlimits) {
            limits.push((Resource::Nproc, config.pids, config.pids));
            limits.push((
                Resource::Data,
                config.memory_mib << 20,
                config.memory_mib << 20,
            ));
        }
        for (resource, current, maximum) in limits {
            let pid = Pid::from_raw(pid);
            let wanted = Rlimit {
                current: Some(current),
                maximum: Some(maximum),
            };
            if rustix::process::prlimit(pid, resource, wanted).is_err() {
                // An ordinary user may not raise the hard limit: as far as it goes then.
                let hard = rustix::process::getrlimit(resource).maximum;
                let lower = hard.map_or(current, |hard| hard.min(current));
                let wanted = Rlimit {
                    current: Some(lower),
                    maximum: hard,
                };
                rustix::process::prlimit(pid, resource, wanted).map_err(|error| {
                    RuntimeError::io(format!("limiting {resource:?} of the container"), error)
                })?;
            }
        }
        Ok(())
    }
}

impl Group {
    /// How many processes the kernel ended because the group's memory was full.
    pub fn out_of_memory(&self) -> u64 {
        let Some(events) = &self.events else { return 0 };
        let text = fs::read_to_string(events).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix("oom_kill "))
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Whether anything of it is left on the machine.
    #[cfg(test)]
    pub fn is_there(&self) -> bool {
        self.folders.iter().any(|folder| folder.exists())
    }

    /// Removes the group; its processes have ended or are ending. Blocks for a moment.
    pub fn remove(&self) {
        for folder in &self.folders {
            for _ in 0..100 {
                match fs::remove_dir(folder) {
                    // Busy until the kernel has put the last process away.
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}
