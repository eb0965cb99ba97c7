//! Deleting, never through a link: each folder is opened by name without following, and its
//! entries are removed relative to that descriptor.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use crate::home::{Home, RelPath, lstat};
use crate::problem::{Problem, shown};

/// One descriptor is open per level.
const DEPTH_MAX: usize = 256;

pub fn remove(home: &Home, path: &RelPath, recursive: bool) -> Result<(), Problem> {
    let fail = |errno| Problem::from_errno("delete", path.as_str(), errno);
    let place = home.place(path, "delete")?;
    let stat = lstat(place.dir.as_fd(), &place.name)
        .map_err(fail)?
        .ok_or_else(|| fail(Errno::NOENT))?;
    let folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    match (folder, recursive) {
        (false, _) => unlinkat(&place.dir, place.name.as_os_str(), AtFlags::empty()),
        (true, false) => unlinkat(&place.dir, place.name.as_os_str(), AtFlags::REMOVEDIR),
        (true, true) => remove_tree(place.dir.as_fd(), &place.name),
    }
    .map_err(|errno| match errno {
        Errno::OVERFLOW => Problem::unprocessable(format!(
            "Cannot delete {}: folders are nested deeper than {DEPTH_MAX}; use rm -rf in a terminal.",
            shown(path.as_str())
        )),
        errno => fail(errno),
    })
}

/// Removes a folder and all below it. `OVERFLOW` when it is nested too deeply.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    remove_level(dir, name, DEPTH_MAX)
}

fn remove_level(dir: BorrowedFd<'_>, name: &OsStr, depth: usize) -> Result<(), Errno> {
    if depth == 0 {
        return Err(Errno::OVERFLOW);
    }
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(dir, name, flags, Mode::empty())?;
    // Others may add entries meanwhile; a few rounds, then the last error stands.
    for round in 0..4 {
        for (entry, is_folder) in entries(folder.as_fd())? {
            let gone = if is_folder {
                remove_level(folder.as_fd(), &entry, depth - 1)
            } else {
                unlinkat(&folder, entry.as_os_str(), AtFlags::empty())
            };
            match gone {
                // Gone already, or swapped for the other kind: the next round sees what it is.
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => return Err(errno),
            }
        }
        match unlinkat(dir, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) if round < 3 => {}
            other => return other,
        }
    }
    Err(Errno::NOTEMPTY)
}

fn entries(folder: BorrowedFd<'_>) -> Result<Vec<(OsString, bool)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let name = OsStr::from_bytes(name).to_owned();
        let is_folder = match entry.file_type() {
            FileType::Unknown => lstat(folder, &name)?
                .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory),
            kind => kind == FileType::Directory,
        };
        found.push((name, is_folder));
    }
    Ok(found)
}
