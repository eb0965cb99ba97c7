//! Folder listings: folders first, then by name, 10,000 entries at most.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Dir, FileType, OFlags, Stat, fstat};

use crate::home::{Home, RelPath, lossy, lstat};
use crate::problem::Problem;
use crate::scratch::is_scratch;
use crate::wire::{Entry, FileKind, Listing};

const ENTRIES_MAX: usize = 10_000;

pub fn list(home: &Home, path: &RelPath) -> Result<Listing, Problem> {
    let fail = |errno| Problem::from_errno("list", path.as_str(), errno);
    let folder = home.folder(path, "list")?;
    let mut entries = Vec::new();
    let mut truncated = false;
    for entry in Dir::read_from(&folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") || is_scratch(name) {
            continue;
        }
        if entries.len() == ENTRIES_MAX {
            truncated = true;
            break;
        }
        let name = OsStr::from_bytes(name);
        // What was deleted between the two calls is simply not listed.
        if let Some(stat) = lstat(folder.as_fd(), name).map_err(fail)? {
            entries.push(describe(home, path, name, &stat));
        }
    }
    entries.sort_unstable_by(|a, b| {
        (a.kind != FileKind::Dir, &a.name).cmp(&(b.kind != FileKind::Dir, &b.name))
    });
    Ok(Listing {
        path: path.as_str().to_owned(),
        entries,
        truncated,
    })
}

fn describe(home: &Home, path: &RelPath, name: &OsStr, stat: &Stat) -> Entry {
    let kind = kind(stat);
    let target_kind = (kind == FileKind::Symlink)
        .then(|| {
            // Beneath the home, not beneath the folder: `../x` is a fine link.
            let full = Path::new(path.as_str()).join(name);
            let target = home.open_beneath(&full, OFlags::PATH).ok()?;
            fstat(target).ok().map(|stat| self::kind(&stat))
        })
        .flatten();
    Entry {
        name: lossy(name),
        kind,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        modified_ms: stat.st_mtime.saturating_mul(1000)
            + i64::try_from(stat.st_mtime_nsec / 1_000_000).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        target_kind,
    }
}

fn kind(stat: &Stat) -> FileKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => FileKind::Dir,
        FileType::RegularFile => FileKind::File,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Other,
    }
}
