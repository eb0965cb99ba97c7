//! The files that the vault process reads before it locks itself in: the master secret and the
//! installation's id.
//!
//! The master file has one line for each live root key: its number, a space, and 64 hexadecimal
//! digits; and a line `mac`, a space, and 64 digits for the MAC secret, which rotations leave as it is.
//! A single line of 64 digits alone is root key 1. Beside it lies `install-id`, 32 digits.
//! The master is read straight into [`SecretPages`], decoded there, and wiped.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use zeroize::{Zeroize, Zeroizing};

use super::{
    keys::{Keys, RootKey},
    memory::SecretPages,
};

/// Room for the master file: three lines of at most 76 bytes, and nothing like a key file by mistake.
pub(super) const MASTER_ROOM: usize = 1024;

/// Why the keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no master file.
    #[error(
        "there is no master secret at {0}; restore it from the backup, or for a new installation start with --create-master"
    )]
    Missing(PathBuf),
    /// There is one, and what is sealed under it would be lost with it.
    #[error(
        "there is a master secret at {0} already, which is never replaced; name another folder"
    )]
    There(PathBuf),
    /// Others may read it.
    #[error(
        "the master secret {path} has mode {mode:03o}, so others can read it; make it yours alone: chmod 600 {path}"
    )]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what a master file looks like. What it holds is never part of the message.
    #[error("{path}: {what}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        what: &'static str,
    },
    /// The system refused.
    #[error("cannot {doing} {path}: {error}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No memory for the keys.
    #[error("cannot get memory for the keys: {0}")]
    Memory(io::Error),
    /// It is another user's, who alone may write it anew.
    #[error(
        "the master secret {path} belongs to user {owner}, and this runs as user {user}: run it as its owner, or, where it is a \
         secret of a cluster, change it there"
    )]
    NotYours {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The one who asks.
        user: u32,
    },
    /// Another command changes it.
    #[error(
        "another command changes the master secret {0} at this moment: wait until it has ended"
    )]
    Busy(PathBuf),
}

/// Loads the master from `master` and the id from `install-id` beside it, and derives the keys.
/// With `create`, makes both when neither exists. The pages come back to be frozen.
///
/// # Errors
/// [`KeyFileError`]; nothing is made unless everything could be.
pub fn load(master: &Path, create: bool) -> Result<(Keys, SecretPages, bool), KeyFileError> {
    let install_path = master.with_file_name("install-id");
    let created = create && make(master, &install_path)?;
    let install = read_install(&install_path)?;
    let mut pages = SecretPages::new(4 * 4096).map_err(KeyFileError::Memory)?;
    let text = pages.take(MASTER_ROOM).map_err(KeyFileError::Memory)?;
    let scratch = pages.take_key().map_err(KeyFileError::Memory)?;
    let mac_secret = pages.take_key().map_err(KeyFileError::Memory)?;
    let result = read_master(master, text).and_then(|length| {
        derive(
            master,
            text.get(..length).unwrap_or_default(),
            &install,
            (scratch, mac_secret),
            &mut pages,
        )
    });
    text.zeroize();
    scratch.zeroize();
    mac_secret.zeroize();
    Ok((result?, pages, created))
}

pub(super) fn read_master(path: &Path, text: &mut [u8]) -> Result<usize, KeyFileError> {
    let failed = |error| KeyFileError::Io {
        doing: "read the master secret",
        path: path.to_owned(),
        error,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(KeyFileError::Missing(path.to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    let facts = file.metadata().map_err(failed)?;
    let mode = facts.mode() & 0o777;
    // Kubernetes projects secrets as root's, readable for the pod's group: no tighter mode can be had.
    let projected = facts.uid() == 0 && !rustix::process::geteuid().is_root();
    let forbidden = if projected { 0o037 } else { 0o077 };
    if mode & forbidden != 0 {
        return Err(KeyFileError::TooOpen {
            path: path.to_owned(),
            mode,
        });
    }
    let mut length = 0;
    loop {
        let room = text.get_mut(length..).unwrap_or_default();
        match file.read(room).map_err(failed)? {
            0 if length == MASTER_ROOM => {
                return Err(KeyFileError::Malformed {
                    path: path.to_owned(),
                    what: "the master secret has at most three short lines, and this file is longer; name the right file",
                });
            }
            0 => return Ok(length),
            count => length += count,
        }
    }
}

fn derive(
    path: &Path,
    text: &[u8],
    install: &[u8; 16],
    (master, mac_secret): (&mut [u8; 32], &mut [u8; 32]),
    pages: &mut SecretPages,
) -> Result<Keys, KeyFileError> {
    let malformed = |what| KeyFileError::Malformed {
        path: path.to_owned(),
        what,
    };
    let mut roots = Vec::new();
    let mut has_mac_secret = false;
    for line in lines(text) {
        let (number, digits) = match line.map_err(malformed)? {
            Line::Mac(_) if has_mac_secret => {
                return Err(malformed(
                    "the MAC secret is there twice; keep the line that was there first",
                ));
            }
            Line::Mac(digits) => {
                decode_hex(digits, mac_secret)
                    .filter(|()| mac_secret.iter().any(|byte| *byte != 0))
                    .ok_or_else(|| {
                        malformed("the MAC secret has 64 hexadecimal digits, not all zeroes")
                    })?;
                has_mac_secret = true;
                continue;
            }
            Line::Root(number, digits) => (number, digits),
        };
        decode_hex(digits, master)
            .ok_or_else(|| malformed("each root key has 64 hexadecimal digits"))?;
        if master.iter().all(|byte| *byte == 0) {
            return Err(malformed("a root key is all zeroes, which is no secret"));
        }
        roots.push(RootKey::derive(number, master, install, pages).map_err(KeyFileError::Memory)?);
    }
    let mac_secret = has_mac_secret.then_some(&*mac_secret);
    Keys::new(*install, roots, mac_secret, pages).map_err(|_| {
        malformed("one or two root keys with different numbers are needed, one on each line")
    })
}

/// A line of the master file.
pub(super) enum Line<'a> {
    /// The MAC secret's digits.
    Mac(&'a [u8]),
    /// A root key's number and digits.
    Root(u32, &'a [u8]),
}

/// The lines of `text` that hold something; an error says what is wrong with one.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = Result<Line<'_>, &'static str>> {
    let filled = |line: &&[u8]| !line.is_empty();
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(filled)
        .map(|line| {
            if let Some(digits) = line.strip_prefix(b"mac ") {
                return Ok(Line::Mac(digits.trim_ascii()));
            }
            let Some(space) = line.iter().position(|byte| *byte == b' ') else {
                return Ok(Line::Root(1, line));
            };
            let (number, digits) = line.split_at(space);
            std::str::from_utf8(number)
                .ok()
                .and_then(|number| number.parse::<u32>().ok())
                .filter(|number| *number > 0)
                .map(|number| Line::Root(number, digits.trim_ascii()))
                .ok_or("a line begins with a root key's number, from 1")
        })
}

pub(super) fn read_install(path: &Path) -> Result<[u8; 16], KeyFileError> {
    let text = fs::read(path).map_err(|error| KeyFileError::Io {
        doing: "read the installation's id",
        path: path.to_owned(),
        error,
    })?;
    let mut install = [0; 16];
    decode_hex(text.trim_ascii(), &mut install).ok_or_else(|| KeyFileError::Malformed {
        path: path.to_owned(),
        what: "the installation's id has 32 hexadecimal digits; restore it from the backup",
    })?;
    Ok(install)
}

/// Makes master and id when there is no master; false when there is one.
pub(super) fn make(master: &Path, install: &Path) -> Result<bool, KeyFileError> {
    if master.exists() {
        return Ok(false);
    }
    // The id first: a start that was killed between the two finds it and keeps it.
    if !install.exists() {
        write_random::<16>("", install)?;
    }
    write_random::<32>("1 ", master)?;
    Ok(true)
}

/// Writes `N` random bytes in hexadecimal, whole or not at all, and never over another file.
fn write_random<const N: usize>(before: &str, path: &Path) -> Result<(), KeyFileError> {
    let failed = |error| KeyFileError::Io {
        doing: "make",
        path: path.to_owned(),
        error,
    };
    let mut random = Zeroizing::new([0; N]);
    getrandom::fill(random.as_mut_slice())
        .map_err(|error| failed(io::Error::other(error.to_string())))?;
    let mut text = Zeroizing::new(String::with_capacity(before.len() + N * 2 + 1));
    text.push_str(before);
    push_hex(&mut text, random.as_slice());
    text.push('\n');
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link, because a rename would replace a file that another start has just made.
        fs::hard_link(&temporary, path)?;
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    let result = match write() {
        // Another start made it a moment ago: that one counts.
        Err(_) if path.exists() => Ok(()),
        result => result,
    };
    let removed = fs::remove_file(&temporary);
    result.and(removed).map_err(failed)
}

/// Appends `bytes` as digits; `text` has the room already, so that no copy is left where it grew.
pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
}

fn decode_hex(digits: &[u8], into: &mut [u8]) -> Option<()> {
    if digits.len() != into.len() * 2 {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(into) {
        let mut value = 0;
        for digit in pair {
            value = value << 4 | char::from(*digit).to_digit(16)?;
        }
        *byte = u8::try_from(value).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn makes_a_master_once_with_mode_600_and_loads_it_again() {
        let folder = folder();
        let master = folder.path().join("master");
        assert!(matches!(load(&master, false), Err(KeyFileError::Io { .. })));
        let (first, _, created) = load(&master, true).unwrap();
        assert!(created);
        assert_eq!(fs::metadata(&master).unwrap().mode() & 0o777, 0o600);
        let (second, _, created) = load(&master, true).unwrap();
        assert!(!created);
        assert_eq!(
            (first.install(), first.live()),
            (second.install(), second.live())
        );
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            2,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_lost_master_is_an_error_and_never_a_new_one() {
        let folder = folder();
        let master = folder.path().join("master");
        load(&master, true).unwrap();
        fs::remove_file(&master).unwrap();
        assert!(matches!(
            load(&master, false),
            Err(KeyFileError::Missing(_))
        ));
    }

    #[test]
    fn refuses_a_master_that_others_can_read() {
        let folder = folder();
        let master = folder.path().join("master");
        load(&master, true).unwrap();
        for mode in [0o604, 0o620, 0o644] {
            fs::set_permissions(&master, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(
                load(&master, false),
                Err(KeyFileError::TooOpen { .. })
            ));
        }
    }

    #[test]
    fn reads_one_and_two_root_keys_and_refuses_everything_else() {
        let folder = folder();
        let master = folder.path().join("master");
        load(&master, true).unwrap();
        let key = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        let good = [
            (key.to_owned(), vec![1]),
            (format!("7 {key}\n"), vec![7]),
            (format!("2 {key}\r\n\n1 {key}\n"), vec![1, 2]),
        ];
        for (text, numbers) in good {
            fs::write(&master, text).unwrap();
            let live = load(&master, false).unwrap().0.live();
            assert_eq!(
                live.iter().map(|root| root.number).collect::<Vec<_>>(),
                numbers
            );
        }
        let bad = [
            String::new(),
            key[1..].to_owned(),
            format!("{key}0"),
            format!("0 {key}"),
            format!("x {key}"),
            format!("1 {key}\n1 {key}"),
            format!("1 {key}\n2 {key}\n3 {key}"),
            "0".repeat(64),
            "g".repeat(64),
            "\n".repeat(MASTER_ROOM),
        ];
        for text in bad {
            fs::write(&master, &text).unwrap();
            let error = load(&master, false).err().expect(&text).to_string();
            assert!(error.contains("master"), "{error}");
            assert!(
                !error.contains("abcdef"),
                "the message must not hold the key"
            );
        }
    }
}
