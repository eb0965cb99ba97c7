//! Folders and files of containers on this machine.
//!
//! ```text
//! <data>/containers/            0711 when the server is root: containers' users pass through, but list nothing
//!   etc/                        what containers see as /etc
//!   agent-<hash>                the agent's executable
//!   ctr_.../
//!     meta.json                 number, process, start of the agent: the server's
//!     home/ state/ run/         the container user's: home, terminal history, the agent's socket
//!     egress/                   the server's, read-only inside: the socket to the egress role
//!     mounts/                   empty: where a start as root gathers what it shows
//!     start.log                 what the last start wrote
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::slots::Slot;
use super::{binary, tree};
use crate::features::containers::runtime::RuntimeError;
use crate::kernel::ContainerId;

/// Folders that belong to the container's user.
pub const OWN: [&str; 3] = ["home", "state", "run"];

/// Where a start as root gathers what the container will see, in a mount namespace of its own.
pub const TREE: &str = "mounts";

/// The folder of all containers.
#[derive(Debug, Clone)]
pub struct Folders {
    root: PathBuf,
}

/// The folder of one container.
#[derive(Debug, Clone)]
pub struct Folder {
    container: ContainerId,
    path: PathBuf,
}

/// What the server remembers of a container across its own restarts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Meta {
    /// See [`Slot::number`].
    pub slot: Option<u32>,
    /// The running start, if any.
    pub run: Option<Run>,
}

/// One start of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Host process id of the container's first process.
    pub pid: i32,
    /// When that process started, in clock ticks since boot: a reused id differs.
    pub start_ticks: u64,
    /// The machine's boot.
    pub machine_boot_id: String,
    /// The agent's boot id.
    pub agent_boot_id: String,
    /// When, in milliseconds since the epoch.
    pub started_at_ms: i64,
}

impl Folders {
    /// Makes the folder when it is not there.
    pub fn open(root: PathBuf) -> Result<Self, RuntimeError> {
        make_folder(&root, 0o711)
            .map_err(|error| RuntimeError::io(format!("making {}", root.display()), error))?;
        Ok(Self { root })
    }

    /// What containers see as `/etc`.
    pub fn etc(&self) -> PathBuf {
        self.root.join("etc")
    }

    /// The agent's executable.
    pub fn agent(&self) -> PathBuf {
        self.root.join(binary::file_name())
    }

    /// The folder of one container, there or not.
    pub fn container(&self, container: ContainerId) -> Folder {
        Folder {
            container,
            path: self.root.join(container.to_string()),
        }
    }

    /// Containers that have a folder.
    pub fn containers(&self) -> Result<Vec<ContainerId>, RuntimeError> {
        let failed =
            |error: io::Error| RuntimeError::io(format!("listing {}", self.root.display()), error);
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(container) = name.to_str().and_then(|name| name.parse().ok()) {
                found.push(container);
            }
        }
        Ok(found)
    }
}

impl Folder {
    /// Whose folder it is.
    pub fn container(&self) -> ContainerId {
        self.container
    }

    /// A folder or file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes what is missing and gives it to the container's user.
    pub fn prepare(&self, slot: Slot) -> Result<(), RuntimeError> {
        let failed = |error: io::Error| {
            RuntimeError::io(format!("preparing {}", self.path.display()), error)
        };
        make_folder(&self.path, 0o711).map_err(failed)?;
        let mut meta = self.read_meta()?.unwrap_or_default();
        if meta.slot != Some(slot.number) {
            // Before files are given to the user, so that no other container can be given the same one.
            meta.slot = Some(slot.number);
            self.write_meta(&meta)?;
        }
        make_folder(&self.join("egress"), 0o755).map_err(failed)?;
        make_folder(&self.join(TREE), 0o700).map_err(failed)?;
        for name in OWN {
            let folder = self.join(name);
            make_folder(&folder, 0o700).map_err(failed)?;
            if let Some(uid) = slot.uid
                && fs::symlink_metadata(&folder).map_err(failed)?.uid() != uid
            {
                tree::give(&folder, uid).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// What is remembered, if the container was prepared.
    pub fn read_meta(&self) -> Result<Option<Meta>, RuntimeError> {
        let path = self.join("meta.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(RuntimeError::io(
                    format!("reading {}", path.display()),
                    error,
                ));
            }
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            RuntimeError::Machine(format!("{} is damaged: {error}", path.display()))
        })
    }

    /// Remembers `meta`: the old content or the new one is there after a crash, never half.
    pub fn write_meta(&self, meta: &Meta) -> Result<(), RuntimeError> {
        let path = self.join("meta.json");
        let failed =
            |error: io::Error| RuntimeError::io(format!("writing {}", path.display()), error);
        let text = serde_json::to_vec(meta)
            .map_err(|error| RuntimeError::io("writing meta.json", error))?;
        let half = self.join("meta.json.new");
        fs::write(&half, text).map_err(failed)?;
        fs::rename(&half, &path).map_err(failed)
    }

    /// Deletes the folder; nothing outside is followed or touched.
    pub fn remove(&self) -> Result<(), RuntimeError> {
        tree::remove(&self.path)
            .map_err(|error| RuntimeError::io(format!("deleting {}", self.path.display()), error))
    }
}

/// Makes a folder with exactly this mode, whatever the umask; one that is there keeps its content.
pub fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => set_mode(path, mode),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::symlink_metadata(path)?.is_dir() {
                return Ok(());
            }
            Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it exists and is not a folder",
            ))
        }
        Err(error) => Err(error),
    }
}

/// Sets a mode on something that belongs to the server.
pub fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
