//! Project archives: what is accepted, and safe extraction. Shared with the server, which
//! inspects at upload with the very checks that extraction repeats.
//!
//! Always holds: sizes are those of bytes that came out of the decompressor, never what a header
//! says; a refused archive names the entry; nothing is written outside the given folder, nor
//! through a link; hard links, devices and pipes are refused; set-uid bits are dropped.
//!
//! Must not import axum or the agent's handlers.

mod extract;
mod pack;
mod rules;
mod walk;

use std::ffi::OsStr;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::str::FromStr;

pub use pack::pack;

use extract::Disk;
use rules::Rules;
use walk::{Meter, Nowhere};

/// The formats that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    TarGz,
    Zip,
}

impl Format {
    /// From a media type, as uploads name it.
    #[must_use]
    pub fn from_content_type(value: &str) -> Option<Self> {
        match value.split(';').next().unwrap_or_default().trim() {
            "application/gzip" | "application/x-gzip" => Some(Self::TarGz),
            "application/zip" | "application/x-zip-compressed" => Some(Self::Zip),
            _ => None,
        }
    }

    /// As in the `format` parameter of the agent's import.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        }
    }
}

impl FromStr for Format {
    type Err = ArchiveError;

    fn from_str(text: &str) -> Result<Self, ArchiveError> {
        match text {
            "tar.gz" => Ok(Self::TarGz),
            "zip" => Ok(Self::Zip),
            other => Err(ArchiveError::Format(other.to_owned())),
        }
    }
}

/// What an archive may cost. Sizes in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub compressed: u64,
    /// All files together, decompressed.
    pub total: u64,
    /// Decompressed to compressed, once more than [`Limits::ratio_from`] came out.
    pub ratio: u64,
    pub ratio_from: u64,
    pub entries: u64,
    /// One file, decompressed.
    pub file: u64,
    pub path: usize,
    pub name: usize,
    /// Components of a path.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            compressed: 512 << 20,
            total: 2 << 30,
            ratio: 200,
            ratio_from: 16 << 20,
            entries: 200_000,
            file: 1 << 30,
            // Room for the folder that the project is extracted into.
            path: 3072,
            name: 255,
            depth: 64,
        }
    }
}

impl Limits {
    /// For an archive of `compressed` bytes, a size that somebody has agreed to: beyond the default size the others grow
    /// with it, so that what was agreed to can be used.
    #[must_use]
    pub fn of(compressed: u64) -> Self {
        let usual = Self::default();
        Self {
            compressed: usual.compressed.max(compressed),
            total: usual.total.max(compressed.saturating_mul(4)),
            file: usual.file.max(compressed.saturating_mul(2)),
            ..usual
        }
    }
}

/// What an accepted archive holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    pub entries: u64,
    /// Decompressed bytes of all files.
    pub bytes: u64,
    /// The one folder which everything is in, and which can be left out: no link in it leads
    /// out of it.
    pub root: Option<String>,
}

/// Why an archive is refused. Entries are named as in the archive, unprintable bytes escaped.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("The archive format {0:?} is not known; use tar.gz or zip.")]
    Format(String),
    #[error(
        "The archive cannot be read as {format}: {detail}. Is it complete, and of that format?"
    )]
    Unreadable {
        format: &'static str,
        detail: String,
    },
    #[error("The archive contains no files or folders.")]
    Empty,
    #[error("The archive has {size} bytes; at most {limit} are taken.")]
    Compressed { size: u64, limit: u64 },
    #[error(
        "The archive unpacks to more than {limit} bytes (at {entry}); remove what is not needed, e.g. node_modules."
    )]
    Total { entry: String, limit: u64 },
    #[error(
        "The archive unpacks to more than {ratio} times its size (at {entry}); such archives are refused."
    )]
    Ratio { entry: String, ratio: u64 },
    #[error(
        "The archive has more than {limit} entries; remove what is not needed, e.g. node_modules."
    )]
    Entries { limit: u64 },
    #[error(
        "The archive's list of entries takes more than {limit} bytes; such archives are refused."
    )]
    Directory { limit: u64 },
    #[error(
        "The header before entry {entry} takes more than {limit} bytes; such archives are refused."
    )]
    Header { entry: u64, limit: u64 },
    #[error("The file {entry} unpacks to more than {limit} bytes.")]
    File { entry: String, limit: u64 },
    #[error("The entry {entry} {why}; such archives are refused.")]
    Entry { entry: String, why: &'static str },
    #[error("The link {entry} leads to {target}, which {why}; such archives are refused.")]
    Link {
        entry: String,
        target: String,
        why: &'static str,
    },
    #[error("Writing {entry} failed: {error}")]
    Write { entry: String, error: io::Error },
}

impl ArchiveError {
    /// The archive is at fault, not the disk.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Write { .. })
    }
}

/// Reads a whole archive and checks every entry; nothing is written.
///
/// # Errors
/// The first reason to refuse it.
pub fn inspect<R: Read + Seek>(
    reader: R,
    format: Format,
    limits: &Limits,
) -> Result<Summary, ArchiveError> {
    process(reader, format, limits, &mut Nowhere)
}

/// Extracts into an empty folder. When it fails the folder is left half full: use a temporary one.
///
/// # Errors
/// As [`inspect`], and [`ArchiveError::Write`].
pub fn extract<R: Read + Seek>(
    reader: R,
    format: Format,
    limits: &Limits,
    folder: BorrowedFd<'_>,
) -> Result<Summary, ArchiveError> {
    process(reader, format, limits, &mut Disk::new(folder))
}

fn process<R: Read + Seek>(
    mut reader: R,
    format: Format,
    limits: &Limits,
    sink: &mut dyn walk::Sink,
) -> Result<Summary, ArchiveError> {
    let unreadable = |error: io::Error| ArchiveError::Unreadable {
        format: format.as_str(),
        detail: error.to_string(),
    };
    let size = reader.seek(SeekFrom::End(0)).map_err(unreadable)?;
    reader.rewind().map_err(unreadable)?;
    if size > limits.compressed {
        return Err(ArchiveError::Compressed {
            size,
            limit: limits.compressed,
        });
    }
    let meter = Meter::new(limits, size);
    let mut rules = Rules::new(limits);
    match format {
        Format::TarGz => walk::tar_gz(reader, &meter, &mut rules, sink)?,
        Format::Zip => walk::zip(reader, &meter, &mut rules, sink)?,
    }
    if rules.is_empty() {
        return Err(ArchiveError::Empty);
    }
    Ok(Summary {
        entries: rules.entries(),
        bytes: meter.bytes(),
        root: rules.root(),
    })
}

/// A name from an archive, for a message: escaped and cut.
fn shown(name: &[u8]) -> String {
    let cut = name.get(..200).unwrap_or(name);
    let more = if cut.len() < name.len() { "…" } else { "" };
    format!("\"{}{more}\"", cut.escape_ascii())
}

fn shown_os(name: &OsStr) -> String {
    shown(name.as_encoded_bytes())
}
