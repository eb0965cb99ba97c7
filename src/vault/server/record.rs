//! The vault's own record: one JSON object on each line of a file that it only ever appends to, or of standard output.
//!
//! Each reveal, delivery, opening and giving to the redactor is written before its reply leaves the process, with what came
//! of it, except a Visible value shown as it should be; when the line cannot be written, the operation is refused. It holds ids, names, versions and
//! purposes, and never a value. A line survives the end of the process as soon as it is written; that
//! it survives a power cut is up to the file system.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use crate::vault::{
    protocol::{BindingRef, Request},
    types::{MAX_NAME, Tier, VaultError},
};

/// One line.
#[derive(Serialize)]
pub struct Entry {
    /// When, by the vault's own clock.
    pub time_ms: i64,
    /// What: `reveal`, `deliver`, `open`, `patterns`, `redactor` or `start`.
    pub operation: &'static str,
    /// What came of it: `ok`, or the kind of error.
    pub outcome: &'static str,
    /// The process that asked; 0 for one in another pid namespace.
    pub peer_pid: i32,
    /// The secrets that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretEntry>,
    /// The credential that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialEntry>,
    /// Where it was delivered to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryEntry>,
}

/// A secret in an entry.
#[derive(Serialize)]
pub struct SecretEntry {
    workspace: String,
    secret: String,
    version: u32,
    name: String,
    purpose: &'static str,
    tier: &'static str,
}

impl From<&BindingRef<'_>> for SecretEntry {
    fn from(binding: &BindingRef<'_>) -> Self {
        Self {
            workspace: hex(binding.workspace),
            secret: hex(binding.secret),
            version: binding.version,
            name: shorten(binding.name),
            purpose: binding.purpose.label(),
            tier: binding.tier.label(),
        }
    }
}

/// A credential of the installation in an entry.
#[derive(Serialize)]
pub struct CredentialEntry {
    /// What it is for.
    pub purpose: &'static str,
    /// Which of them.
    pub name: String,
}

/// A delivery's recipient in an entry.
#[derive(Serialize)]
pub struct DeliveryEntry {
    /// What the recipient is: `container` or `person`.
    pub audience: &'static str,
    /// The recipient's public key.
    pub recipient: String,
    /// HPKE's info, which names the container or the workspace.
    pub info: String,
    /// The names of the plain variables.
    pub extra: Vec<String>,
}

/// The word for an outcome.
#[must_use]
pub const fn outcome<T>(result: &Result<T, VaultError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(VaultError::DoesNotDecrypt) => "does_not_decrypt",
        Err(VaultError::Throttled { .. }) => "throttled",
        Err(VaultError::TooLarge { .. }) => "too_large",
        Err(_) => "refused",
    }
}

/// A name, cut when it is longer than any name may be.
#[must_use]
pub fn shorten(name: &str) -> String {
    match name.get(..name.floor_char_boundary(MAX_NAME)) {
        Some(start) if start.len() < name.len() => format!("{start}…"),
        _ => name.to_owned(),
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The line for a request, if it makes one.
pub fn entry<T>(
    request: &Request<'_>,
    done: &Result<T, VaultError>,
    time_ms: i64,
    peer_pid: i32,
) -> Option<Entry> {
    let mut entry = Entry {
        time_ms,
        operation: request.name(),
        outcome: outcome(done),
        peer_pid,
        secrets: Vec::new(),
        credential: None,
        delivery: None,
    };
    match request {
        Request::Reveal { binding, .. } if binding.tier == Tier::Visible && done.is_ok() => {
            return None;
        }
        Request::Reveal { binding, .. } => entry.secrets.push(SecretEntry::from(binding)),
        Request::Deliver {
            audience,
            recipient,
            info,
            items,
            extra,
            ..
        } => {
            entry.secrets = items
                .iter()
                .map(|item| SecretEntry::from(&item.binding))
                .collect();
            entry.delivery = Some(DeliveryEntry {
                audience: audience.label(),
                recipient: hex(*recipient),
                info: shorten(info),
                extra: extra.iter().map(|(name, _)| shorten(name)).collect(),
            });
        }
        Request::Patterns { items, .. } => {
            entry.secrets = items
                .iter()
                .map(|item| SecretEntry::from(&item.binding))
                .collect();
        }
        // Who became the redactor, or tried to.
        Request::Redactor { .. } => {}
        Request::OpenSystem { purpose, name, .. } => {
            entry.credential = Some(CredentialEntry {
                purpose: purpose.label(),
                name: shorten(name),
            });
        }
        _ => return None,
    }
    Some(entry)
}

/// The open record. It is locked, so that two vault processes cannot share one.
pub struct Record(Mutex<State>);

struct State {
    file: File,
    /// True after a write that may have ended inside a line.
    torn: bool,
}

impl Record {
    /// Opens or makes the file at `path`, mode 0600, and waits up to `patience` for its lock: a vault
    /// process that was just killed gives it up within moments.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another vault process has it; else what the system says.
    pub fn open(path: &Path, patience: Duration) -> io::Result<Self> {
        const PAUSE: Duration = Duration::from_millis(10);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let mut waited = Duration::ZERO;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if waited >= patience || error != rustix::io::Errno::WOULDBLOCK {
                return Err(error.into());
            }
            std::thread::sleep(PAUSE);
            waited += PAUSE;
        }
        let torn = ends_inside_a_line(path)?;
        Ok(Self(Mutex::new(State { file, torn })))
    }

    /// Writes to standard output, for whoever collects the lines there.
    ///
    /// # Errors
    /// When there is none.
    pub fn standard_output() -> io::Result<Self> {
        let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self(Mutex::new(State { file, torn: false })))
    }

    /// Appends `entries` in one write.
    ///
    /// # Errors
    /// When they could not be written in full.
    pub fn append<'a>(&self, entries: impl IntoIterator<Item = &'a Entry>) -> io::Result<()> {
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.torn {
            lines.insert(0, b'\n');
        }
        let result = state.file.write_all(&lines);
        state.torn = result.is_err();
        result
    }
}

/// True when the file's last byte is no line end: the machine stopped during a write.
fn ends_inside_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            time_ms: 1,
            operation: "open",
            outcome: "ok",
            peer_pid: 2,
            secrets: vec![],
            credential: Some(CredentialEntry {
                purpose: "smtp",
                name: shorten(name),
            }),
            delivery: None,
        }
    }

    #[test]
    fn appends_whole_lines_and_mends_a_torn_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        std::fs::write(&path, "{\"torn\":").unwrap();
        let record = Record::open(&path, Duration::ZERO).unwrap();
        record.append(&[entry("a\nb"), entry("c")]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        for line in &lines[1..] {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["operation"], "open");
        }
    }

    #[test]
    fn is_locked_against_a_second_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let first = Record::open(&path, Duration::ZERO).unwrap();
        let second = Record::open(&path, Duration::from_millis(20));
        assert_eq!(
            second.err().map(|error| error.kind()),
            Some(io::ErrorKind::WouldBlock)
        );
        drop(first);
        assert!(Record::open(&path, Duration::ZERO).is_ok());
    }

    #[test]
    fn cuts_only_names_that_cannot_be() {
        assert_eq!(shorten("näme"), "näme");
        assert_eq!(
            shorten(&"ä".repeat(MAX_NAME)).chars().count(),
            MAX_NAME / 2 + 1
        );
    }
}
