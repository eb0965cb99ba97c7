//! Where a value may have come to lie: files of a data folder, and the memory of a process.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Every file below `folder` but those below `except`, with its bytes.
pub fn files(folder: &Path, except: &[PathBuf]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if except.contains(&path) {
            continue;
        }
        if kind.is_dir() {
            found.extend(files(&path, except));
        } else if kind.is_file() {
            // What the server is just deleting may be gone.
            if let Ok(bytes) = std::fs::read(&path) {
                found.push((path, bytes));
            }
        }
    }
    found
}

/// What a debugger takes out of the memory of a running process, as root; the file is deleted again.
pub fn memory(pid: u32) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core");
    let output = Command::new("gcore")
        .arg("-o")
        .arg(&file)
        .arg(pid.to_string())
        .output()
        .expect("gcore: install Debian's gdb, or run `make test`, which does");
    let dump = folder.path().join(format!("core.{pid}"));
    std::fs::read(&dump).unwrap_or_else(|error| {
        panic!(
            "no dump of process {pid} ({error}): {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}
