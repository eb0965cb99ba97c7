//! The container's home folder and the only way to a path beneath it.
//!
//! Always holds: a path is resolved by the kernel from the home's own descriptor with
//! `openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)`, so that neither `..` nor a link, nor a link
//! that is swapped in between, leads out. Changes are made by name relative to a parent
//! descriptor that was opened this way. Absolute links are refused, even to the home itself:
//! RESOLVE_BENEATH does not follow them.
//!
//! Must not import handlers.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, openat2, readlinkat, statat};
use rustix::io::Errno;

use crate::problem::{Problem, shown};

/// The longest path and the longest name, in bytes, as the kernel has them.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;
/// How many links in a row the last component of a written path may be.
const LINKS_MAX: usize = 16;

/// A checked relative path: no empty, `.` or `..` components, no NUL, not too long. Empty: home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelPath(String);

impl RelPath {
    /// # Errors
    /// 400 which names the value.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let refuse = |why: &str| {
            Err(Problem::bad_request(format!(
                "The path {} {why}",
                shown(text)
            )))
        };
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        if text.len() >= PATH_MAX {
            return refuse("is longer than 4095 bytes; use a shorter one.");
        }
        if text.contains('\0') {
            return refuse("contains a NUL byte; remove it.");
        }
        if text.starts_with('/') {
            return refuse(
                "is absolute; give it relative to the home folder, without a leading slash.",
            );
        }
        for name in text.split('/') {
            match name {
                "" => {
                    return refuse(
                        "has an empty component (two slashes, or one at the end); remove it.",
                    );
                }
                "." | ".." => {
                    return refuse("has a `.` or `..` component; name the place directly.");
                }
                name if name.len() > NAME_MAX => {
                    return refuse("has a name longer than 255 bytes; use a shorter one.");
                }
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// As [`RelPath::parse`], but the home itself is refused: `doing` it makes no sense.
    pub fn parse_below(text: &str, doing: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::bad_request(format!(
                "Cannot {doing} the home folder itself; give a path below it."
            )));
        }
        Self::parse(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parent and last name; `None` for the home.
    pub fn split_last(&self) -> Option<(&str, &str)> {
        match self.0.rsplit_once('/') {
            Some(split) => Some(split),
            None if self.0.is_empty() => None,
            None => Some(("", &self.0)),
        }
    }

    /// The path and each folder above it, outermost first.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let ends = self.0.match_indices('/').map(|(at, _)| at);
        ends.chain((!self.0.is_empty()).then_some(self.0.len()))
            .filter_map(|end| self.0.get(..end))
    }
}

/// A name in an opened folder: what the `*at` calls act on.
pub struct Place {
    pub dir: OwnedFd,
    /// How the folder is reached from the home; for messages and scratch records only.
    pub dir_path: PathBuf,
    pub name: OsString,
}

/// The home folder, held open for the agent's life.
pub struct Home {
    fd: OwnedFd,
    path: PathBuf,
}

impl Home {
    /// # Errors
    /// When `path` is not a folder that can be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let path = path.canonicalize()?;
        let fd = rustix::fs::open(
            &path,
            OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Self { fd, path })
    }

    /// Where the home is, for `HOME` and for walking (never for opening what a request names).
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path beneath the home; links that stay beneath are followed.
    pub fn open_beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        beneath(self.fd.as_fd(), path, flags, ResolveFlags::empty())
    }

    /// Opens a folder for reading.
    pub fn folder(&self, path: &RelPath, doing: &str) -> Result<OwnedFd, Problem> {
        self.open_beneath(Path::new(path.as_str()), OFlags::DIRECTORY | OFlags::RDONLY)
            .map_err(|errno| Problem::from_errno(doing, path.as_str(), errno))
    }

    /// The place of `path` itself: a link at its end is not followed.
    pub fn place(&self, path: &RelPath, doing: &str) -> Result<Place, Problem> {
        let Some((parent, name)) = path.split_last() else {
            return Err(Problem::bad_request(format!(
                "Cannot {doing} the home folder itself; give a path below it."
            )));
        };
        let dir = self
            .open_beneath(Path::new(parent), OFlags::DIRECTORY | OFlags::RDONLY)
            .map_err(|errno| Problem::from_errno(doing, path.as_str(), errno))?;
        Ok(Place {
            dir,
            dir_path: parent.into(),
            name: name.into(),
        })
    }

    /// The place that a write to `path` changes: links at its end are followed, so that saving
    /// through a link keeps the link. The kernel confines every step.
    pub fn place_of_target(&self, path: &RelPath, doing: &str) -> Result<Place, Problem> {
        let mut place = self.place(path, doing)?;
        let fail = |errno| Problem::from_errno(doing, path.as_str(), errno);
        for _ in 0..LINKS_MAX {
            let target = match readlinkat(&place.dir, place.name.as_os_str(), Vec::new()) {
                Ok(target) => OsString::from_vec(target.into_bytes()),
                // Not a link, or nothing there yet.
                Err(Errno::INVAL | Errno::NOENT) => return Ok(place),
                Err(errno) => return Err(fail(errno)),
            };
            let target = Path::new(&target);
            if target.is_absolute() {
                return Err(fail(Errno::XDEV));
            }
            let (Some(name), Some(parent)) = (target.file_name(), target.parent()) else {
                return Err(fail(Errno::ISDIR));
            };
            let dir_path = place.dir_path.join(parent);
            let dir = self
                .open_beneath(&dir_path, OFlags::DIRECTORY | OFlags::RDONLY)
                .map_err(fail)?;
            let name = name.to_owned();
            place = Place {
                dir,
                dir_path,
                name,
            };
        }
        Err(fail(Errno::LOOP))
    }

    /// Makes the folder and those above it that are missing; true when the last one is new.
    pub fn make_folders(&self, path: &str, doing: &str) -> Result<bool, Problem> {
        let path = RelPath::parse(path)?;
        let mut made = false;
        for prefix in path.prefixes() {
            let prefix = RelPath(prefix.to_owned());
            let place = self.place(&prefix, doing)?;
            made = match mkdirat(
                &place.dir,
                place.name.as_os_str(),
                Mode::from_raw_mode(0o755),
            ) {
                Ok(()) => true,
                Err(Errno::EXIST) => {
                    self.folder(&prefix, doing)?;
                    false
                }
                Err(errno) => return Err(Problem::from_errno(doing, prefix.as_str(), errno)),
            };
        }
        Ok(made)
    }
}

/// `openat2` beneath `dir`. EAGAIN means that something was renamed meanwhile and the kernel
/// could not prove the path safe; asking again is what openat2(2) advises.
pub fn beneath(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    more: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | more;
    let mut tries = 0;
    loop {
        match openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < 64 => tries += 1,
            other => return other,
        }
    }
}

/// `lstat` of a name in a folder; `None` when it does not exist.
pub fn lstat(dir: BorrowedFd<'_>, name: &OsStr) -> Result<Option<rustix::fs::Stat>, Errno> {
    match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A path of the kernel's bytes, shown to people.
pub fn lossy(name: &OsStr) -> String {
    String::from_utf8_lossy(name.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_a_plain_relative_path() {
        let long_name = "n".repeat(256);
        let long_path = vec!["abc"; 1100].join("/");
        for bad in [
            "/etc/passwd",
            "..",
            "a/../b",
            "a/..",
            "./a",
            "a/.",
            "a//b",
            "a/",
            "/",
            "a\0b",
            long_name.as_str(),
            long_path.as_str(),
        ] {
            let problem = RelPath::parse(bad).unwrap_err();
            assert_eq!(problem.status, 400, "{bad}");
        }
        for good in ["", "a", "a/b c/ü", "..a", "a/...", "-", "C:\\x"] {
            assert_eq!(RelPath::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn prefixes_are_outermost_first() {
        let path = RelPath::parse("a/b/c").unwrap();
        assert_eq!(path.prefixes().collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_eq!(RelPath::parse("").unwrap().prefixes().count(), 0);
    }
}
