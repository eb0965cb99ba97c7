//! The agent's executable, carried inside this one.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::volume::Folders;
use crate::features::containers::runtime::RuntimeError;

/// The static binary that runs in every container.
static AGENT: &[u8] = include_bytes!(env!("OPTIDEV_AGENT_BINARY"));

/// File name that changes with the content, so that a running container keeps the agent that it was started with.
pub fn file_name() -> String {
    let digest = Sha256::digest(AGENT);
    let prefix: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("agent-{prefix}")
}

/// Writes the agent where containers can be given it, once.
pub fn write(folders: &Folders) -> Result<(), RuntimeError> {
    write_to(&folders.agent())
}

/// Writes the agent into `folder` under the name that pods start it by.
///
/// # Errors
/// [`RuntimeError::Failed`] when it cannot be written.
pub fn write_agent(folder: &Path) -> Result<(), RuntimeError> {
    write_to(&folder.join("optidev-agent"))
}

fn write_to(path: &Path) -> Result<(), RuntimeError> {
    // Compared in full: a file of the right length need not have been written to its end.
    if std::fs::read(path).is_ok_and(|present| present == AGENT) {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        RuntimeError::io(format!("writing the agent to {}", path.display()), error)
    };
    let half = path.with_extension("new");
    let mut file = std::fs::File::create(&half).map_err(failed)?;
    file.write_all(AGENT).map_err(failed)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o755))
        .map_err(failed)?;
    file.sync_all().map_err(failed)?;
    drop(file);
    std::fs::rename(&half, path).map_err(failed)
}
