//! A tree of inotify watches, each placed on an opened folder rather than on a name.
//!
//! Always holds: at most [`WATCHES_MAX`] folders; `.git`, `node_modules` and `target` are not
//! entered (that they appear or vanish is told). The names in each folder are remembered as
//! hashes, to tell a replaced file from a new one.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::{Hash as _, Hasher as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Dir, FileType, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Pending;
use crate::home::{Home, RelPath, beneath, lossy};
use crate::problem::Problem;
use crate::scratch::is_scratch;
use crate::wire::ChangeKind;

const WATCHES_MAX: usize = 8192;
const NOT_ENTERED: [&[u8]; 3] = [b".git", b"node_modules", b"target"];

pub struct Tree {
    inotify: OwnedFd,
    /// The watched folder, and its path from the home.
    root: OwnedFd,
    path: String,
    /// Folders by watch, with paths from `root`.
    folders: HashMap<i32, Folder>,
}

struct Folder {
    path: PathBuf,
    names: HashSet<u64>,
}

fn hash(name: &OsStr) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// What the kernel said of one name, copied out of its buffer.
struct Told {
    watch: i32,
    events: ReadFlags,
    name: Option<std::ffi::OsString>,
}

impl Tree {
    /// Watches `path` and what is below; false when not all of it could be.
    pub fn open(home: &Home, path: &RelPath) -> Result<(Self, bool), Problem> {
        let root = home.folder(path, "watch")?;
        let inotify =
            inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|errno| {
                Problem::rate_limited(format!(
                    "No more folders can be watched ({errno}); close other watches."
                ))
            })?;
        let path = path.as_str().to_owned();
        let mut tree = Self {
            inotify,
            root,
            path,
            folders: HashMap::new(),
        };
        let complete = tree.enter(PathBuf::new(), &mut |_, _| {});
        Ok((tree, complete))
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path from the home of a name in a watched folder.
    fn full(&self, below: &Path) -> String {
        lossy(Path::new(&self.path).join(below).as_os_str())
    }

    /// Watches a folder and those in it; tells each entry found. False when some could not be.
    fn enter(&mut self, path: PathBuf, found: &mut dyn FnMut(&Self, &Path)) -> bool {
        let mut complete = true;
        let mut todo = vec![path];
        while let Some(path) = todo.pop() {
            if self.folders.len() >= WATCHES_MAX {
                return false;
            }
            let flags = OFlags::DIRECTORY | OFlags::RDONLY;
            let opened = beneath(self.root.as_fd(), &path, flags, ResolveFlags::NO_SYMLINKS);
            // Gone again, or not ours to read.
            let Ok(folder) = opened else { continue };
            match self.watch(&folder) {
                Ok(watch) => {
                    let mut names = HashSet::new();
                    for (name, is_folder) in entries(&folder) {
                        names.insert(hash(&name));
                        let below = path.join(&name);
                        found(self, &below);
                        if is_folder && !NOT_ENTERED.contains(&name.as_bytes()) {
                            todo.push(below);
                        }
                    }
                    self.folders.insert(watch, Folder { path, names });
                }
                Err(_) => complete = false,
            }
        }
        complete
    }

    fn watch(&self, folder: &OwnedFd) -> Result<i32, Errno> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        // The descriptor, not the name: that could be another folder by now.
        let place = format!("/proc/self/fd/{}", folder.as_raw_fd());
        inotify::add_watch(&self.inotify, place, flags)
    }

    /// Takes what the kernel has to tell.
    pub fn collect(&mut self, pending: &mut Pending) {
        let mut told = Vec::new();
        {
            let mut buffer = [MaybeUninit::uninit(); 16 << 10];
            let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
            while let Ok(event) = reader.next() {
                let name = event
                    .file_name()
                    .map(|name| OsStr::from_bytes(name.to_bytes()).to_owned());
                told.push(Told {
                    watch: event.wd(),
                    events: event.events(),
                    name,
                });
            }
        }
        for one in told {
            self.take(one, pending);
        }
    }

    fn take(&mut self, told: Told, pending: &mut Pending) {
        if told.events.contains(ReadFlags::QUEUE_OVERFLOW) {
            pending.overflow = true;
            self.reset(pending);
            return;
        }
        if told.events.contains(ReadFlags::IGNORED) {
            self.folders.remove(&told.watch);
            return;
        }
        let (Some(name), Some(folder)) = (told.name, self.folders.get_mut(&told.watch)) else {
            return;
        };
        if is_scratch(name.as_bytes()) {
            return;
        }
        let below = folder.path.join(&name);
        let is_folder = told.events.contains(ReadFlags::ISDIR);
        if told
            .events
            .intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM)
        {
            folder.names.remove(&hash(&name));
            if is_folder {
                self.leave(&below);
            }
            pending.add(self.full(&below), ChangeKind::Removed);
            return;
        }
        let new = folder.names.insert(hash(&name));
        let kind = if new {
            ChangeKind::Created
        } else {
            ChangeKind::Modified
        };
        // The change of a folder is told by what changed in it.
        if new || !is_folder {
            pending.add(self.full(&below), kind);
        }
        let appeared = told
            .events
            .intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
        if is_folder && appeared && !NOT_ENTERED.contains(&name.as_bytes()) {
            // What was put into it before the watch was there is told here.
            let complete = self.enter(below, &mut |tree, entry| {
                pending.add(tree.full(entry), ChangeKind::Created);
            });
            pending.overflow |= !complete;
        }
    }

    /// Forgets a folder that is gone from the tree, and what was below it.
    fn leave(&mut self, gone: &Path) {
        let watches: Vec<_> = self
            .folders
            .iter()
            .filter(|(_, folder)| folder.path.starts_with(gone))
            .map(|(watch, _)| *watch)
            .collect();
        for watch in watches {
            self.folders.remove(&watch);
            // A deleted folder has lost its watch by itself.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }

    /// After lost events nothing that is remembered can be trusted.
    fn reset(&mut self, pending: &mut Pending) {
        self.leave(Path::new(""));
        pending.overflow |= !self.enter(PathBuf::new(), &mut |_, _| {});
    }
}

fn entries(folder: &OwnedFd) -> Vec<(std::ffi::OsString, bool)> {
    let Ok(dir) = Dir::read_from(folder) else {
        return Vec::new();
    };
    dir.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") || is_scratch(name) {
            return None;
        }
        let name = OsStr::from_bytes(name).to_owned();
        Some((name, entry.file_type() == FileType::Directory))
    })
    .collect()
}

impl AsRawFd for Tree {
    fn as_raw_fd(&self) -> RawFd {
        self.inotify.as_raw_fd()
    }
}
