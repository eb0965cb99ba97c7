//! What may be written in a pod: its own volume and memory.
//!
//! The root is read-only, and yet there is a file of the node's disk that everybody in a container may write, and that nobody
//! counts: the one for a container's last words (`terminationMessagePath`). One container that fills it fills the disk of all. Landlock
//! (landlock(7)) shuts it, for the agent and whatever it starts.

use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError,
};

use crate::ids;

/// The name in /dev by which Kubernetes mounts that file.
const LAST_WORDS: &str = "termination-log";
/// Where what is left of the start before waits to be deleted.
const OLD: &str = ".optidev-old-";
/// Times that it is tried to delete that.
const SHUT: usize = 3;

/// From now on this process and its children write below `places`, in /proc and to devices. Before any other thread is started.
/// Answers false where the kernel has no Landlock, or one that would forbid moving files between folders (before Linux 5.19).
///
/// # Errors
/// What the kernel refuses.
pub fn confine(places: &[&Path]) -> io::Result<bool> {
    match restrict(places) {
        Ok(()) => Ok(true),
        Err(RulesetError::HandleAccesses(_) | RulesetError::CreateRuleset(_)) => Ok(false),
        Err(error) => Err(io::Error::other(format!("confining writes: {error}"))),
    }
}

fn restrict(places: &[&Path]) -> Result<(), RulesetError> {
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write)?
        .create()?;
    if let Ok(root) = PathFd::new("/") {
        rules = rules.add_rule(PathBeneath::new(root, AccessFs::Refer))?;
    }
    let places = places.iter().map(|place| place.to_path_buf());
    for place in places.chain(devices()).chain(["/proc".into()]) {
        if let Ok(opened) = PathFd::new(&place) {
            let may = write & AccessFs::from_all(ABI::V3);
            rules = rules.add_rule(PathBeneath::new(opened, may))?;
        }
    }
    rules.restrict_self().map(|_| ())
}

/// Links are left out: what they lead to has a rule of its own, or none.
fn devices() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name() != LAST_WORDS)
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .map(|entry| entry.path())
        .collect()
}

/// Makes a folder look as a new pod's `/tmp` does, though it is in the volume that stays: what was there is set aside at once. Answers
/// what is to be deleted, which takes as long as it takes.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn set_aside(scratch: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: Vec<_> = std::fs::read_dir(scratch)?.collect::<Result<_, _>>()?;
    let (mut old, mut rest) = (Vec::new(), Vec::new());
    for entry in entries {
        let is_old = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(OLD));
        if is_old { &mut old } else { &mut rest }.push(entry.path());
    }
    if rest.is_empty() {
        return Ok(old);
    }
    let aside = scratch.join(format!("{OLD}{}", ids::random_hex()));
    std::fs::create_dir(&aside)?;
    for path in rest {
        let Some(name) = path.file_name() else {
            continue;
        };
        // A folder that its owner may not write cannot be moved to another one, and code that runs here makes such folders.
        if std::fs::rename(&path, aside.join(name)).is_err() {
            open(&path);
            std::fs::rename(&path, aside.join(name))?;
        }
    }
    old.push(aside);
    Ok(old)
}

/// Deletes what was set aside. What cannot be deleted is tried again at the next start.
pub fn delete(old: &Path) {
    // One pass for each level that was shut.
    for _ in 0..SHUT {
        if std::fs::remove_dir_all(old).is_ok() {
            return;
        }
        open_all(old);
    }
}

/// Makes a folder one that its owner may change; links are left alone.
fn open(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::symlink_metadata(path).is_ok_and(|it| it.is_dir()) {
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700));
    }
}

fn open_all(folder: &Path) {
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        open(&folder);
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        left.extend(folders.map(|entry| entry.path()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_set_aside_and_names_are_free_again() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path();
        assert_eq!(set_aside(scratch).unwrap(), Vec::<PathBuf>::new());
        std::fs::create_dir_all(scratch.join("a/b")).unwrap();
        std::fs::create_dir_all(scratch.join("shut/deeper/still")).unwrap();
        for folder in ["shut/deeper/still", "shut/deeper", "shut"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o555);
            std::fs::set_permissions(scratch.join(folder), mode).unwrap();
        }
        std::fs::write(scratch.join("a/b/c"), "c").unwrap();
        std::os::unix::fs::symlink("/", scratch.join("root")).unwrap();
        let first = set_aside(scratch).unwrap();
        assert_eq!(first.len(), 1);
        assert!(!scratch.join("a").exists() && first[0].join("a/b/c").exists());
        // Killed before it was deleted: it is found again, and no deeper for it.
        std::fs::write(scratch.join("later"), "").unwrap();
        let both = set_aside(scratch).unwrap();
        assert!(both.len() == 2 && both.contains(&first[0]), "{both:?}");
        for old in both {
            delete(&old);
        }
        assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 0);
        assert!(Path::new("/etc").exists());
    }
}
