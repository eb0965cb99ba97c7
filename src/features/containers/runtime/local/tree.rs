//! Whole folders of untrusted content: deleting them, and giving them to a user.
//!
//! What always holds: links are not followed, whatever is swapped in meanwhile; depth costs neither stack nor file
//! descriptors.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Deletes `path` and what is in it. It is well when it is not there.
pub fn remove(path: &Path) -> io::Result<()> {
    let root = match open(CWD, path) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut moved = 0u64;
    loop {
        let names = entries(&root)?;
        if names.is_empty() {
            break;
        }
        for (name, is_folder) in names {
            if !is_folder {
                unlink(&root, &name)?;
                continue;
            }
            if empty_folder(&root, &name)? {
                continue;
            }
            // Deep trees are made flat instead of descended into: folders below `name` move up beside it.
            let inner = open(&root, &name)?;
            for (below, is_folder) in entries(&inner)? {
                if !is_folder {
                    unlink(&inner, &below)?;
                } else if !empty_folder(&inner, &below)? {
                    // A folder can be moved only when its `..` may be written.
                    open(&inner, &below)?;
                    moved += 1;
                    let flat = format!(".deleting-{moved}");
                    match rustix::fs::renameat(&inner, below.as_c_str(), &root, flat.as_str()) {
                        // The name is the container's own: it goes in another round.
                        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            drop(inner);
            empty_folder(&root, &name)?;
        }
    }
    drop(root);
    Ok(rustix::fs::rmdir(path)?)
}

/// Gives `path` and what is in it to the user and group `uid`.
pub fn give(path: &Path, uid: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    let root = open(CWD, path)?;
    let mut folders = vec![Vec::new()];
    while let Some(place) = folders.pop() {
        // By its path each time: a descriptor for every folder that waits would be too many.
        let folder = match place.as_slice() {
            [] => root.try_clone()?,
            place => rustix::fs::openat2(
                &root,
                place,
                OPEN,
                Mode::empty(),
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            )?,
        };
        for (name, is_folder) in entries(&folder)? {
            if is_folder {
                let mut below = place.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name.as_bytes());
                folders.push(below);
            } else {
                rustix::fs::chownat(
                    &folder,
                    name.as_c_str(),
                    Some(user),
                    Some(group),
                    AtFlags::SYMLINK_NOFOLLOW,
                )?;
            }
        }
        rustix::fs::fchown(&folder, Some(user), Some(group))?;
    }
    Ok(())
}

/// Opens a folder without following a link, made readable and writable when its owner took that away.
fn open<P: rustix::path::Arg + Copy>(at: impl AsFd, name: P) -> Result<OwnedFd, Errno> {
    let at = at.as_fd();
    let folder = match rustix::fs::openat(at, name, OPEN, Mode::empty()) {
        Err(Errno::ACCESS) => {
            // chmod follows links, so it is given the folder itself and not its name.
            let pinned = rustix::fs::openat(at, name, OPEN.union(OFlags::PATH), Mode::empty())?;
            let itself = format!("/proc/self/fd/{}", pinned.as_raw_fd());
            rustix::fs::chmodat(CWD, itself.as_str(), Mode::RWXU, AtFlags::empty())?;
            rustix::fs::openat(
                CWD,
                itself.as_str(),
                OPEN.difference(OFlags::NOFOLLOW),
                Mode::empty(),
            )?
        }
        other => other?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&folder)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(&folder, mode | Mode::RWXU)?;
    }
    Ok(folder)
}

/// Names in a folder, and whether each is a folder itself.
fn entries(folder: &OwnedFd) -> Result<Vec<(CString, bool)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(
                rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode,
            ),
            known => known,
        };
        found.push((name.to_owned(), kind == FileType::Directory));
    }
    Ok(found)
}

fn unlink(folder: &OwnedFd, name: &CString) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, name.as_c_str(), AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Removes a folder if nothing is in it.
fn empty_folder(folder: &OwnedFd, name: &CString) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(folder, name.as_c_str(), AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn deletes_deep_and_locked_folders_and_follows_no_link() {
        let top = tempfile::tempdir().unwrap();
        let outside = top.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "1").unwrap();
        let victim = top.path().join("victim");
        std::fs::create_dir(&victim).unwrap();
        symlink(&outside, victim.join("link")).unwrap();
        symlink("/nowhere", victim.join("broken")).unwrap();
        std::fs::create_dir(victim.join(".deleting-1")).unwrap();
        std::fs::write(victim.join(".deleting-1/own"), "1").unwrap();
        // Deeper than there are file descriptors.
        let mut folder = open(CWD, &victim).unwrap();
        for _ in 0..1_500 {
            rustix::fs::mkdirat(&folder, "d", Mode::RWXU).unwrap();
            rustix::fs::symlinkat(&outside, &folder, "out").unwrap();
            folder = open(&folder, c"d").unwrap();
        }
        std::fs::create_dir(victim.join("locked")).unwrap();
        std::fs::write(victim.join("locked/file"), "1").unwrap();
        std::fs::set_permissions(
            victim.join("locked"),
            std::fs::Permissions::from_mode(0o000),
        )
        .unwrap();

        remove(&victim).unwrap();
        assert!(!victim.exists());
        assert!(outside.join("kept").exists());
        remove(&victim).unwrap();
    }
}
