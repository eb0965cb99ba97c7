//! Temporary files and folders beside what they will become, so that a rename finishes the work.
//!
//! Always holds: each temporary name in the home is recorded in `--state/scratch/` before it
//! exists and forgotten after it is gone, so that the next start sweeps what a `kill -9` left
//! without walking the home. A record is one file: the folder (from the home), NUL, the name.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::files::remove::remove_tree;
use crate::home::Home;
use crate::ids;

/// What every temporary name begins with; listings, search and watch leave these out.
pub const PREFIX: &str = ".optidev-";

/// Where the records are.
pub struct Scratch {
    records: PathBuf,
    /// Records of folders that are still to be swept.
    folders: Mutex<Vec<PathBuf>>,
}

impl Scratch {
    /// Opens the records below `state` and removes the files that an earlier run left behind.
    /// Folders are left to [`Self::sweep_folders`]: half an import may be a great many files,
    /// and this is on the way to a running container.
    ///
    /// # Errors
    /// When the records cannot be kept.
    pub fn open(state: &Path, home: &Home) -> std::io::Result<Self> {
        let records = state.join("scratch");
        std::fs::create_dir_all(&records)?;
        let mut folders = Vec::new();
        for record in std::fs::read_dir(&records)? {
            let record = record?.path();
            let swept = std::fs::read(&record).map(|content| sweep(home, &content, false));
            if swept.unwrap_or(true) {
                std::fs::remove_file(&record)?;
            } else {
                folders.push(record);
            }
        }
        Ok(Self {
            records,
            folders: Mutex::new(folders),
        })
    }

    /// Removes the folders that an earlier run left behind; takes its time.
    pub fn sweep_folders(&self, home: &Home) {
        let folders =
            std::mem::take(&mut *self.folders.lock().unwrap_or_else(PoisonError::into_inner));
        for record in folders {
            if let Ok(content) = std::fs::read(&record) {
                sweep(home, &content, true);
            }
            let _ = std::fs::remove_file(record);
        }
    }

    /// A new file, mode 0600, in `dir`.
    pub fn file(
        self: &Arc<Self>,
        dir: BorrowedFd<'_>,
        dir_path: &Path,
    ) -> std::io::Result<(Temporary, std::fs::File)> {
        let temporary = self.record(dir, dir_path, "write")?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(
            dir,
            temporary.name.as_os_str(),
            flags,
            Mode::from_raw_mode(0o600),
        )?;
        Ok((temporary, fd.into()))
    }

    /// A new folder, mode 0755, in `dir`, and its descriptor.
    pub fn folder(
        self: &Arc<Self>,
        dir: BorrowedFd<'_>,
        dir_path: &Path,
        purpose: &str,
    ) -> std::io::Result<(Temporary, OwnedFd)> {
        let temporary = self.record(dir, dir_path, purpose)?;
        let name = temporary.name.as_os_str();
        mkdirat(dir, name, Mode::from_raw_mode(0o755))?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(dir, name, flags, Mode::empty())?;
        Ok((temporary, fd))
    }

    fn record(
        self: &Arc<Self>,
        dir: BorrowedFd<'_>,
        dir_path: &Path,
        purpose: &str,
    ) -> std::io::Result<Temporary> {
        let id = ids::random_hex();
        let name = OsString::from(format!("{PREFIX}{purpose}-{id}"));
        let record = self.records.join(&id);
        let content = [dir_path.as_os_str().as_bytes(), b"\0", name.as_bytes()].concat();
        let dir = dir.try_clone_to_owned()?;
        std::fs::write(&record, content)?;
        Ok(Temporary {
            dir,
            name,
            record,
            renamed: false,
        })
    }
}

/// Removes what a record names; false when it is a folder and only files were to go.
fn sweep(home: &Home, record: &[u8], folders: bool) -> bool {
    let mut parts = record.splitn(2, |byte| *byte == 0);
    let (Some(dir), Some(name)) = (parts.next(), parts.next()) else {
        return true;
    };
    let (dir, name) = (Path::new(OsStr::from_bytes(dir)), OsStr::from_bytes(name));
    // User code may write here too; whatever a record says, only scratch names are removed.
    let ours = is_scratch(name.as_bytes()) && !name.as_bytes().contains(&b'/');
    let opened = home.open_beneath(dir, OFlags::DIRECTORY | OFlags::RDONLY);
    let (true, Ok(dir)) = (ours, opened) else {
        return true;
    };
    if folders {
        remove(dir.as_fd(), name);
        return true;
    }
    unlinkat(&dir, name, AtFlags::empty()) != Err(Errno::ISDIR)
}

fn remove(dir: BorrowedFd<'_>, name: &OsStr) {
    if unlinkat(dir, name, AtFlags::empty()) == Err(Errno::ISDIR) {
        // What cannot be removed now (permissions, a busy folder) is only clutter.
        let _ = remove_tree(dir, name);
    }
}

/// A temporary name; removed with what is under it when dropped, unless it was renamed.
pub struct Temporary {
    dir: OwnedFd,
    name: OsString,
    record: PathBuf,
    renamed: bool,
}

impl Temporary {
    /// Moves it to its final place; `replace` false fails with EEXIST when the name is taken.
    pub fn rename(
        mut self,
        to_dir: BorrowedFd<'_>,
        to_name: &OsStr,
        replace: bool,
    ) -> Result<(), Errno> {
        let flags = if replace {
            rustix::fs::RenameFlags::empty()
        } else {
            rustix::fs::RenameFlags::NOREPLACE
        };
        rustix::fs::renameat_with(&self.dir, self.name.as_os_str(), to_dir, to_name, flags)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            remove(self.dir.as_fd(), &self.name);
        }
        let _ = std::fs::remove_file(&self.record);
    }
}

/// A file in `state` without a name: gone when it is closed, however the agent ends.
pub fn unnamed(state: &Path) -> std::io::Result<std::fs::File> {
    let path = state.join(format!("upload-{}", ids::random_hex()));
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Whether a listing, a search or a watch leaves this name out.
pub fn is_scratch(name: &[u8]) -> bool {
    name.starts_with(PREFIX.as_bytes())
}
