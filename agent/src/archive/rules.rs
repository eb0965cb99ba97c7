//! Which entries are accepted: pure checks on names, kinds and link targets.
//!
//! Links: a target may climb (`..`) only at its beginning, and not above the archive's root. As
//! entries are never created through links, a link's folder really is as deep as its path says,
//! so by induction no chain of accepted links leaves the root. `a/../..` after a linked `a` would.

use std::collections::HashMap;
use std::collections::hash_map;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{ArchiveError, Limits, shown};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File,
    Link,
}

pub struct Rules<'a> {
    limits: &'a Limits,
    entries: u64,
    seen: HashMap<PathBuf, Kind>,
    /// The first component of the first path.
    top: Option<OsString>,
    /// Everything is below `top`, and no link below it climbs to its parent.
    within_top: bool,
}

impl<'a> Rules<'a> {
    pub fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            entries: 0,
            seen: HashMap::new(),
            top: None,
            within_top: true,
        }
    }

    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    pub fn root(&self) -> Option<String> {
        let top = self.top.as_ref().filter(|_| self.within_top)?;
        let folder = self.seen.get(Path::new(top)) == Some(&Kind::Folder);
        top.to_str().filter(|_| folder).map(str::to_owned)
    }

    /// Counts an entry, of whatever kind.
    pub fn count(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::Entries {
                limit: self.limits.entries,
            });
        }
        Ok(())
    }

    /// Checks a name and remembers it; `None` for the root itself.
    pub fn admit(&mut self, raw: &[u8], kind: Kind) -> Result<Option<PathBuf>, ArchiveError> {
        let path = self.check_name(raw)?;
        let refuse = |why| {
            Err(ArchiveError::Entry {
                entry: shown(raw),
                why,
            })
        };
        let mut components = path.components();
        let Some(first) = components.next() else {
            return if kind == Kind::Folder {
                Ok(None)
            } else {
                refuse("has no name")
            };
        };
        let first = first.as_os_str();
        let top = self.top.get_or_insert_with(|| first.to_owned());
        self.within_top &= top == first;
        for folder in path
            .ancestors()
            .skip(1)
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            match self.seen.entry(folder.to_owned()) {
                hash_map::Entry::Vacant(slot) => drop(slot.insert(Kind::Folder)),
                hash_map::Entry::Occupied(slot) if *slot.get() == Kind::Folder => {}
                hash_map::Entry::Occupied(_) => {
                    return refuse(
                        "is below something that is a link or a file elsewhere in the archive",
                    );
                }
            }
        }
        match self.seen.insert(path.clone(), kind) {
            None => {}
            Some(before) if before == kind => {}
            Some(_) => return refuse("occurs twice as different kinds (file, folder, link)"),
        }
        Ok(Some(path))
    }

    fn check_name(&self, raw: &[u8]) -> Result<PathBuf, ArchiveError> {
        let refuse = |why| {
            Err(ArchiveError::Entry {
                entry: shown(raw),
                why,
            })
        };
        if raw.len() > self.limits.path {
            return refuse("has a path that is too long");
        }
        match raw {
            [b'/', ..] => return refuse("has an absolute path"),
            [letter, b':', ..] if letter.is_ascii_alphabetic() => {
                return refuse("has a path with a drive letter");
            }
            _ if raw.contains(&0) => return refuse("has a NUL byte in its path"),
            _ if raw.contains(&b'\\') => return refuse("has a backslash in its path"),
            _ => {}
        }
        let mut path = PathBuf::new();
        let mut depth = 0;
        for name in raw.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => continue,
                b".." => return refuse("climbs out with `..`"),
                name if name.len() > self.limits.name => {
                    return refuse("has a name that is too long");
                }
                name => path.push(OsStr::from_bytes(name)),
            }
            depth += 1;
        }
        if depth > self.limits.depth {
            return refuse("is nested too deeply");
        }
        Ok(path)
    }

    /// Checks where a link at `path` leads.
    pub fn check_target(&mut self, path: &Path, target: &[u8]) -> Result<(), ArchiveError> {
        let entry = shown(path.as_os_str().as_bytes());
        let refuse = |why| {
            Err(ArchiveError::Link {
                entry: entry.clone(),
                target: shown(target),
                why,
            })
        };
        match target {
            [] => return refuse("is empty"),
            [b'/', ..] => return refuse("is absolute"),
            _ if target.contains(&0) || target.contains(&b'\\') => {
                return refuse("contains a NUL byte or a backslash");
            }
            _ if target.len() > self.limits.path => return refuse("is too long"),
            _ => {}
        }
        let parents = path.components().count().saturating_sub(1);
        let (mut climbs, mut went_down) = (0, false);
        for name in target.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." if went_down => return refuse("climbs with `..` after going down"),
                b".." => climbs += 1,
                _ => went_down = true,
            }
        }
        if climbs > parents {
            return refuse("is outside the archive");
        }
        // Climbing to the root would leave the folder once its one top folder is left out.
        self.within_top &= climbs < parents || climbs == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &[u8]) -> Result<Option<PathBuf>, ArchiveError> {
        Rules::new(&Limits::default()).admit(raw, Kind::File)
    }

    #[test]
    fn names() {
        assert_eq!(name(b"./a//b").unwrap().unwrap(), Path::new("a/b"));
        let deep = "d/".repeat(65);
        for bad in [
            &b"/etc/passwd"[..],
            b"../x",
            b"a/../../x",
            b"a/..",
            b"C:/x",
            b"c:x",
            b"a\\b",
            b"a\0b",
            b".",
            b"",
            &[b'n'; 256],
            &[b'/'; 5000],
            deep.as_bytes(),
        ] {
            assert!(name(bad).is_err(), "{}", shown(bad));
        }
    }

    #[test]
    fn targets() {
        let limits = Limits::default();
        let check = |path: &str, target: &str| {
            Rules::new(&limits).check_target(Path::new(path), target.as_bytes())
        };
        for (path, target) in [
            ("a/b", "../c"),
            ("a", "b/c"),
            ("a/b/c", "../../d"),
            ("a/b", "."),
        ] {
            assert!(check(path, target).is_ok(), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", "../x"),
            ("a/b", "../../x"),
            ("a", "/etc"),
            ("a/b", "c/../../x"),
            ("a", ""),
            ("a", "b/.."),
            ("a", "x\\y"),
        ] {
            assert!(check(path, target).is_err(), "{path} -> {target}");
        }
    }

    #[test]
    fn a_link_to_the_top_folders_parent_keeps_the_top_folder() {
        let limits = Limits::default();
        let mut rules = Rules::new(&limits);
        rules.admit(b"top/a/x", Kind::File).unwrap();
        assert_eq!(rules.root().as_deref(), Some("top"));
        rules.check_target(Path::new("top/a/l"), b"../x").unwrap();
        assert_eq!(rules.root().as_deref(), Some("top"));
        rules.check_target(Path::new("top/l"), b"../top/x").unwrap();
        assert_eq!(rules.root(), None);
    }

    #[test]
    fn one_path_is_one_kind() {
        let limits = Limits::default();
        let mut rules = Rules::new(&limits);
        rules.admit(b"l", Kind::Link).unwrap();
        assert!(rules.admit(b"l/x", Kind::File).is_err());
        assert!(rules.admit(b"l", Kind::Folder).is_err());
        rules.admit(b"f", Kind::File).unwrap();
        rules.admit(b"f", Kind::File).unwrap();
        assert!(rules.admit(b"f/x", Kind::Link).is_err());
    }
}
