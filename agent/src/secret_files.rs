//! Secrets that are files: `NAME` and `projects/<folder>/NAME` below one folder, which is memory in a container.
//!
//! Always holds: the folder has what was delivered last and nothing else; each file is complete from its first moment;
//! what can fail is done before the first of them is seen. User code may swap anything here, for it has the same id:
//! no name is followed through a link, so that a swap changes nothing elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::files::remove::remove_tree;
use crate::home::{beneath, lstat};
use crate::ids;
use crate::problem::Problem;

/// The folder of projects' own files; no secret's file has this name.
pub const PROJECTS: &str = "projects";

const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR;

/// The files of one place: name and content.
pub type Files = Vec<(String, Zeroizing<String>)>;

/// The folder, held open for the agent's life.
pub struct SecretFiles {
    root: OwnedFd,
    path: PathBuf,
}

impl SecretFiles {
    /// Makes the folder when only that is missing: a volume's own folder belongs to root, so that one below it is named.
    ///
    /// # Errors
    /// When `path` is not a folder that can be opened.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = path.canonicalize()?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self { root, path })
    }

    /// Where the files of a project are, or those of no project.
    pub fn place(&self, project: Option<&str>) -> PathBuf {
        match project {
            Some(folder) => self.path.join(PROJECTS).join(folder),
            None => self.path.clone(),
        }
    }

    /// Puts these files, by project, in the place of all that is there.
    ///
    /// # Errors
    /// What the system refused, with the file's path; then nothing has changed.
    pub fn replace(&self, wanted: &BTreeMap<Option<String>, Files>) -> Result<(), Problem> {
        let staging = OsString::from(format!(".next-{}", ids::random_hex()));
        let replaced = self.replace_by(&staging, wanted);
        // All that it still has is what was not put in place.
        let _ = remove_tree(self.root.as_fd(), &staging);
        replaced
    }

    fn replace_by(
        &self,
        staging: &OsStr,
        wanted: &BTreeMap<Option<String>, Files>,
    ) -> Result<(), Problem> {
        self.refused(None, "", fchmod(&self.root, FOLDER_MODE))?;
        let next = self.refused(None, "", own_folder(self.root.as_fd(), staging))?;
        let mut ready = Vec::new();
        for (project, files) in wanted {
            let project = project.as_deref();
            let folder = self.refused(project, "", self.folder(project))?;
            for (name, content) in files {
                let written = write(next.as_fd(), ready.len(), content);
                self.refused(project, name, written)?;
                let cleared = clear(folder.as_fd(), name);
                self.refused(project, name, cleared)?;
                let folder = self.refused(project, name, folder.try_clone());
                ready.push((project, name, folder?));
            }
        }
        for (number, (project, name, folder)) in ready.iter().enumerate() {
            let put = renameat(&next, number.to_string(), folder, name.as_str());
            self.refused(*project, name, put)?;
        }
        self.prune(wanted);
        Ok(())
    }

    /// The folder of a project's files, or the root; made when it is not there.
    fn folder(&self, project: Option<&str>) -> Result<OwnedFd, Errno> {
        let Some(project) = project else {
            return self.root.try_clone().map_err(|_| Errno::MFILE);
        };
        let projects = own_folder(self.root.as_fd(), PROJECTS.as_ref())?;
        own_folder(projects.as_fd(), project.as_ref())
    }

    /// Removes what is not wanted. A secret's own file always goes; what else user code put here, and made hard to remove,
    /// may stay.
    fn prune(&self, wanted: &BTreeMap<Option<String>, Files>) {
        let names = |project: &Option<String>| -> BTreeSet<&OsStr> {
            let files = wanted.get(project).into_iter().flatten();
            files.map(|(name, _)| name.as_ref()).collect()
        };
        let projects: BTreeSet<&OsStr> = wanted.keys().flatten().map(OsStr::new).collect();
        let mut in_root = names(&None);
        if !projects.is_empty() {
            in_root.insert(PROJECTS.as_ref());
        }
        keep_only(self.root.as_fd(), &in_root);
        if projects.is_empty() {
            return;
        }
        let Ok(folder) = own_folder(self.root.as_fd(), PROJECTS.as_ref()) else {
            return;
        };
        keep_only(folder.as_fd(), &projects);
        for project in wanted.keys().filter(|project| project.is_some()) {
            if let Ok(folder) = self.folder(project.as_deref()) {
                keep_only(folder.as_fd(), &names(project));
            }
        }
    }

    fn refused<T, E: Into<std::io::Error>>(
        &self,
        project: Option<&str>,
        name: &str,
        result: Result<T, E>,
    ) -> Result<T, Problem> {
        result.map_err(|error| {
            let path = self.place(project).join(name);
            Problem::from_io("write", &path.to_string_lossy(), &error.into())
        })
    }
}

/// Writes a file that nobody else reads, under a number.
fn write(folder: BorrowedFd<'_>, number: usize, content: &str) -> std::io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(folder, number.to_string(), flags, FILE_MODE)?;
    fchmod(&file, FILE_MODE)?;
    std::fs::File::from(file).write_all(content.as_bytes())
}

/// A folder of ours by this name, whatever is there: a link or a file gives way.
fn own_folder(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let mut tries = 0;
    loop {
        match mkdirat(parent, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let opened = beneath(parent, Path::new(name), flags, resolve);
        match opened {
            Ok(folder) => {
                fchmod(&folder, FOLDER_MODE)?;
                return Ok(folder);
            }
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) if tries < 4 => {
                tries += 1;
                match unlinkat(parent, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            // A folder that its owner may not read: it is ours all the same.
            Err(Errno::ACCESS) if tries < 4 => {
                tries += 1;
                rustix::fs::chmodat(parent, name, FOLDER_MODE, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Makes room for a file: a folder of its name would be in the way of renaming.
fn clear(folder: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let there = lstat(folder, name.as_ref())?;
    let in_the_way =
        there.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    match in_the_way {
        true => remove_tree(folder, name.as_ref()),
        false => Ok(()),
    }
}

fn keep_only(folder: BorrowedFd<'_>, names: &BTreeSet<&OsStr>) {
    // A descriptor of its own: reading a folder moves its position.
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let Ok(entries) = openat(folder, ".", flags, Mode::empty()).and_then(Dir::read_from) else {
        return;
    };
    let entries: Vec<OsString> = entries
        .flatten()
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        .filter(|name| name != "." && name != ".." && !names.contains(name.as_os_str()))
        .collect();
    for name in entries {
        if unlinkat(folder, name.as_os_str(), AtFlags::empty()) == Err(Errno::ISDIR) {
            let _ = remove_tree(folder, &name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A project, if it is one's, and names with contents.
    type Of<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)]);

    fn files(all: &[Of<'_>]) -> BTreeMap<Option<String>, Files> {
        let each = all.iter().map(|(project, files)| {
            let file = |(name, content): &(&str, &str)| {
                ((*name).to_owned(), Zeroizing::new((*content).to_owned()))
            };
            let files = files.iter().map(file).collect();
            (project.map(str::to_owned), files)
        });
        each.collect()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_was_delivered_last_is_all_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretFiles::open(folder.path()).unwrap();
        let at = |path: &str| folder.path().join(path);
        let both = files(&[
            (None, &[("A", "1"), ("B", "")]),
            (Some("app"), &[("A", "2")]),
        ]);
        secrets.replace(&both).unwrap();
        assert_eq!(names(folder.path()), ["A", "B", "projects"]);
        assert_eq!(fs::read_to_string(at("projects/app/A")).unwrap(), "2");
        let mode = |path: &str| fs::metadata(at(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode("A"), mode("projects"), mode("projects/app")),
            (0o400, 0o700, 0o700)
        );
        assert_eq!(mode(""), 0o700);
        fs::write(at("left"), "by a program").unwrap();
        secrets.replace(&files(&[(None, &[("B", "new")])])).unwrap();
        assert_eq!(names(folder.path()), ["B"]);
        assert_eq!(fs::read_to_string(at("B")).unwrap(), "new");
        secrets.replace(&files(&[])).unwrap();
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn links_and_folders_in_the_way_are_replaced_and_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("A"), "theirs").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        let secrets = SecretFiles::open(folder.path()).unwrap();
        symlink(outside.path(), at("projects")).unwrap();
        symlink(outside.path().join("A"), at("A")).unwrap();
        fs::create_dir_all(at("B/deep")).unwrap();
        let wanted = files(&[
            (None, &[("A", "1"), ("B", "2")]),
            (Some("app"), &[("A", "3")]),
        ]);
        secrets.replace(&wanted).unwrap();
        assert_eq!(
            fs::read_to_string(outside.path().join("A")).unwrap(),
            "theirs"
        );
        assert_eq!(names(outside.path()), ["A"]);
        assert!(!fs::symlink_metadata(at("projects")).unwrap().is_symlink());
        assert!(!fs::symlink_metadata(at("A")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(at("B")).unwrap(), "2");
        // The folder of one project is a link to another's.
        fs::remove_dir_all(at("projects/app")).unwrap();
        symlink(outside.path(), at("projects/app")).unwrap();
        secrets.replace(&wanted).unwrap();
        assert_eq!(names(outside.path()), ["A"]);
        assert_eq!(fs::read_to_string(at("projects/app/A")).unwrap(), "3");
    }

    #[test]
    fn what_cannot_be_written_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretFiles::open(folder.path()).unwrap();
        secrets
            .replace(&files(&[(None, &[("A", "before")])]))
            .unwrap();
        let long = "n".repeat(256);
        let refused = secrets
            .replace(&files(&[(None, &[("A", "after"), (&long, "c4nary")])]))
            .unwrap_err();
        assert!(!refused.detail.contains("c4nary"), "{refused}");
        assert_eq!(names(folder.path()), ["A"]);
        assert_eq!(
            fs::read_to_string(folder.path().join("A")).unwrap(),
            "before"
        );
    }
}
