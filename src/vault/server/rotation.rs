//! The master file through a rotation: one root key, then two, then the new one alone.
//!
//! What always holds: the file is whole at any moment, mode 0600, and opens what is stored at that moment; the new one is
//! written beside it, synced, and renamed over it. The MAC secret is written down in it and stays the same. One command at a
//! time changes it.
//!
//! This is no part of the vault process, which reads the file once: it is for a command that a person runs on the host.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use zeroize::{Zeroize, Zeroizing};

use super::{
    envelope,
    files::{self, KeyFileError, Line, MASTER_ROOM},
    keys::MAX_LIVE,
};
use crate::vault::types::RootKey;

/// Where the next master file is written before it takes the place of `master`.
#[must_use]
pub fn beside(master: &Path) -> PathBuf {
    master.with_extension("rotation")
}

/// The master file, while this command alone may change it.
pub struct MasterFile {
    /// As it was named: `install-id` lies beside it.
    named: PathBuf,
    /// Where it is, past links: what is renamed over a link would take the link's place only.
    real: PathBuf,
    /// Locked, and synced after a rename.
    folder: File,
}

impl MasterFile {
    /// Takes hold of it, and removes what a run that was broken off left beside it.
    ///
    /// # Errors
    /// [`KeyFileError`]: when it is not this user's or readable for others, and when another command has it.
    pub fn open(master: &Path) -> Result<Self, KeyFileError> {
        let failed = |doing, error| KeyFileError::Io {
            doing,
            path: master.to_owned(),
            error,
        };
        let real = fs::canonicalize(master).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeyFileError::Missing(master.to_owned()),
            _ => failed("find the master secret", error),
        })?;
        let facts = fs::metadata(&real).map_err(|error| failed("look at", error))?;
        let user = rustix::process::geteuid().as_raw();
        if facts.uid() != user {
            return Err(KeyFileError::NotYours {
                path: real,
                owner: facts.uid(),
                user,
            });
        }
        if facts.mode() & 0o077 != 0 {
            return Err(KeyFileError::TooOpen {
                path: real,
                mode: facts.mode() & 0o777,
            });
        }
        let folder = real.parent().unwrap_or(Path::new("/"));
        let folder = File::open(folder).map_err(|error| failed("open the folder of", error))?;
        match folder.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(KeyFileError::Busy(real)),
            Err(TryLockError::Error(error)) => return Err(failed("lock the folder of", error)),
        }
        match fs::remove_file(beside(&real)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove what was left beside", error));
            }
            _ => {}
        }
        Ok(Self {
            named: master.to_owned(),
            real,
            folder,
        })
    }

    /// The installation's id and the root keys, without the keys, by number.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(&self) -> Result<([u8; 16], Vec<RootKey>), KeyFileError> {
        let (keys, ..) = files::load(&self.named, false)?;
        Ok((keys.install(), keys.live()))
    }

    /// Adds a second root key and the MAC secret, unless they are there.
    ///
    /// # Errors
    /// [`KeyFileError`]; the file is what it was then.
    pub fn begin(&self) -> Result<(), KeyFileError> {
        let (keys, ..) = files::load(&self.named, false)?;
        let highest = keys.live().last().map_or(0, |root| root.number);
        let (mut roots, mac) = self.lines()?;
        if roots.len() == MAX_LIVE && mac.is_some() {
            return Ok(());
        }
        if roots.len() < MAX_LIVE {
            let mut key = Zeroizing::new([0; 32]);
            envelope::random(key.as_mut_slice())
                .map_err(|error| self.failed("get random numbers for", io::Error::other(error)))?;
            let number = highest.checked_add(1).ok_or(KeyFileError::Malformed {
                path: self.real.clone(),
                what: "the root key has the highest number there is",
            })?;
            roots.push((number, digits(key.as_slice())));
        }
        let mac = match (mac, keys.mac_base()) {
            (Some(mac), _) => mac,
            (None, Some(base)) => digits(base.as_slice()),
            (None, None) => {
                return Err(KeyFileError::Malformed {
                    path: self.real.clone(),
                    what: "there is no root key in it",
                });
            }
        };
        self.write(&roots, &mac)
    }

    /// Leaves the newest root key alone.
    ///
    /// # Errors
    /// [`KeyFileError`]; the file is what it was then.
    pub fn finish(&self) -> Result<(), KeyFileError> {
        let (mut roots, mac) = self.lines()?;
        let mac = mac.ok_or(KeyFileError::Malformed {
            path: self.real.clone(),
            what: "a rotation is not under way: the MAC secret is not in it",
        })?;
        roots.sort_by_key(|(number, _)| *number);
        let newest: Vec<_> = roots.pop().into_iter().collect();
        self.write(&newest, &mac)
    }

    /// Its root keys and its MAC secret, in digits.
    fn lines(&self) -> Result<Lines, KeyFileError> {
        let mut text = Zeroizing::new(vec![0; MASTER_ROOM]);
        let length = files::read_master(&self.real, &mut text)?;
        let owned = |digits: &[u8]| Zeroizing::new(String::from_utf8_lossy(digits).into_owned());
        let (mut roots, mut mac) = (Vec::new(), None);
        for line in files::lines(text.get(..length).unwrap_or_default()) {
            match line {
                Ok(Line::Root(number, digits)) => roots.push((number, owned(digits))),
                Ok(Line::Mac(digits)) => mac = Some(owned(digits)),
                Err(what) => {
                    return Err(KeyFileError::Malformed {
                        path: self.real.clone(),
                        what,
                    });
                }
            }
        }
        Ok((roots, mac))
    }

    fn write(&self, roots: &[(u32, Zeroizing<String>)], mac: &str) -> Result<(), KeyFileError> {
        let mut text = Zeroizing::new(String::with_capacity(MASTER_ROOM));
        for (number, digits) in roots {
            let mut number = number.to_string();
            text.push_str(&number);
            number.zeroize();
            text.push(' ');
            text.push_str(digits);
            text.push('\n');
        }
        text.push_str("mac ");
        text.push_str(mac);
        text.push('\n');
        let temporary = beside(&self.real);
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.real)?;
            self.folder.sync_all()
        };
        write().map_err(|error| {
            // Gone already when it was renamed.
            let _ = fs::remove_file(&temporary);
            self.failed("write", error)
        })
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> KeyFileError {
        KeyFileError::Io {
            doing,
            path: self.real.clone(),
            error,
        }
    }
}

type Lines = (Vec<(u32, Zeroizing<String>)>, Option<Zeroizing<String>>);

fn digits(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    files::push_hex(&mut text, bytes);
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::vault::types::MacPurpose;

    fn made() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let master = folder.path().join("master");
        files::load(&master, true).unwrap();
        (folder, master)
    }

    fn mac(master: &Path) -> [u8; 32] {
        let (keys, ..) = files::load(master, false).unwrap();
        keys.mac(MacPurpose::Audit, b"entry").unwrap()
    }

    #[test]
    fn one_root_key_then_two_then_the_new_one_and_always_the_same_mac_secret() {
        let (folder, master) = made();
        let before = mac(&master);
        for round in 1..=3_u32 {
            let file = MasterFile::open(&master).unwrap();
            let old = file.read().unwrap().1;
            file.begin().unwrap();
            let both = file.read().unwrap().1;
            assert_eq!(both.first(), old.first());
            assert_eq!((both.len(), both[1].number), (2, round + 1));
            file.begin().unwrap();
            assert_eq!(file.read().unwrap().1, both, "begun twice is begun once");
            assert_eq!(mac(&master), before);
            file.finish().unwrap();
            assert_eq!(file.read().unwrap().1, both[1..]);
            assert_eq!(mac(&master), before);
        }
        assert_eq!(fs::metadata(&master).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn one_command_at_a_time_and_a_left_file_is_removed() {
        let (_folder, master) = made();
        fs::write(beside(&master), "left").unwrap();
        let file = MasterFile::open(&master).unwrap();
        assert!(!beside(&master).exists());
        assert!(matches!(
            MasterFile::open(&master),
            Err(KeyFileError::Busy(_))
        ));
        drop(file);
        MasterFile::open(&master).unwrap();
    }

    #[test]
    fn a_link_to_it_stays_a_link() {
        let (folder, master) = made();
        let kept = folder.path().join("elsewhere");
        fs::rename(&master, &kept).unwrap();
        std::os::unix::fs::symlink(&kept, &master).unwrap();
        let file = MasterFile::open(&master).unwrap();
        file.begin().unwrap();
        assert!(fs::symlink_metadata(&master).unwrap().is_symlink());
        assert_eq!(file.read().unwrap().1.len(), 2);
    }

    #[test]
    fn refuses_a_file_that_others_can_read() {
        let (_folder, master) = made();
        fs::set_permissions(&master, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            MasterFile::open(&master),
            Err(KeyFileError::TooOpen { .. })
        ));
    }
}
