//! Writing accepted entries below one folder.
//!
//! Always holds: every parent is opened with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS and every file
//! is new (O_EXCL), so that neither a link of the archive nor one that somebody swaps in is ever
//! written through.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, openat2, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::walk::{Sink, copy_error};
use super::{ArchiveError, shown_os};

pub struct Disk<'a> {
    root: BorrowedFd<'a>,
    /// The folder of the last entry: archives are sorted, mostly.
    parent: Option<(PathBuf, OwnedFd)>,
}

fn write_error(path: &Path, error: impl Into<io::Error>) -> ArchiveError {
    ArchiveError::Write {
        entry: shown_os(path.as_os_str()),
        error: error.into(),
    }
}

/// Never set-uid or sticky, never writable for others; readable for the owner, as the agent is.
fn file_mode(mode: u32) -> u32 {
    mode & 0o755 | 0o600
}

fn folder_mode(mode: u32) -> u32 {
    mode & 0o755 | 0o700
}

impl<'a> Disk<'a> {
    pub fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, parent: None }
    }

    fn open(&self, folder: &Path) -> Result<OwnedFd, Errno> {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        openat2(self.root, folder, flags, Mode::empty(), resolve)
    }

    /// Opens a folder, making it and its parents when they are missing.
    fn folder_at(&self, folder: &Path) -> Result<OwnedFd, Errno> {
        match (self.open(folder), folder.parent(), folder.file_name()) {
            (Err(Errno::NOENT), Some(parent), Some(name)) => {
                let parent = self.folder_at(parent)?;
                match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => self.open(folder),
                    Err(errno) => Err(errno),
                }
            }
            (opened, ..) => opened,
        }
    }

    /// The opened parent of `path`, and the last name.
    fn place<'p>(&mut self, path: &'p Path) -> Result<(BorrowedFd<'_>, &'p OsStr), ArchiveError> {
        let name = path
            .file_name()
            .ok_or_else(|| write_error(path, Errno::INVAL))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let cached = self.parent.take().filter(|(cached, _)| cached == folder);
        let fd = match cached {
            Some((_, fd)) => fd,
            None => self
                .folder_at(folder)
                .map_err(|errno| write_error(path, errno))?,
        };
        let (_, fd) = &*self.parent.insert((folder.to_owned(), fd));
        Ok((fd.as_fd(), name))
    }
}

impl Sink for Disk<'_> {
    fn folder(&mut self, path: &Path, mode: u32) -> Result<(), ArchiveError> {
        self.folder_at(path)
            .and_then(|fd| fchmod(fd, Mode::from_raw_mode(folder_mode(mode))))
            .map_err(|errno| write_error(path, errno))
    }

    fn file(&mut self, path: &Path, mode: u32, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let (dir, name) = self.place(path)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(dir, name, flags, Mode::from_raw_mode(0o600));
        let opened = match create() {
            // The same file a second time: the last one counts, as in tar.
            Err(Errno::EXIST) => {
                unlinkat(dir, name, AtFlags::empty()).map_err(|errno| write_error(path, errno))?;
                create()
            }
            opened => opened,
        };
        let mut file = File::from(opened.map_err(|errno| write_error(path, errno))?);
        io::copy(content, &mut file).map_err(|error| copy_error(path, error))?;
        file.set_permissions(std::fs::Permissions::from_mode(file_mode(mode)))
            .map_err(|error| write_error(path, error))
    }

    fn link(&mut self, path: &Path, target: &OsStr) -> Result<(), ArchiveError> {
        let (dir, name) = self.place(path)?;
        let made = match symlinkat(target, dir, name) {
            Err(Errno::EXIST) => {
                unlinkat(dir, name, AtFlags::empty()).and_then(|()| symlinkat(target, dir, name))
            }
            made => made,
        };
        made.map_err(|errno| write_error(path, errno))
    }
}
