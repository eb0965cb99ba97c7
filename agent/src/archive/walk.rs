//! Going through the entries of an archive, counting what comes out.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use tar::EntryType;
use zip::ZipArchive;

use super::rules::{Kind, Rules};
use super::{ArchiveError, Limits, shown};

/// What tar may read for one entry's headers (long names, pax records), which it holds in memory.
const HEADER_MAX: u64 = 1 << 20;
/// What zip may read for its list of entries, which it holds in memory: some 200,000 of them.
const DIRECTORY_MAX: u64 = 24 << 20;
/// Headers and padding of a tar on top of the files' own bytes.
const OVERHEAD: u64 = 128 << 20;

/// Where accepted entries go. Paths are checked and relative.
pub trait Sink {
    fn folder(&mut self, path: &Path, mode: u32) -> Result<(), ArchiveError>;
    /// Reads `content` to its end.
    fn file(&mut self, path: &Path, mode: u32, content: &mut dyn Read) -> Result<(), ArchiveError>;
    fn link(&mut self, path: &Path, target: &OsStr) -> Result<(), ArchiveError>;
}

/// Only looks.
pub struct Nowhere;

impl Sink for Nowhere {
    fn folder(&mut self, _: &Path, _: u32) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn file(&mut self, path: &Path, _: u32, content: &mut dyn Read) -> Result<(), ArchiveError> {
        io::copy(content, &mut io::sink()).map_err(|error| copy_error(path, error))?;
        Ok(())
    }

    fn link(&mut self, _: &Path, _: &OsStr) -> Result<(), ArchiveError> {
        Ok(())
    }
}

/// A limit that was hit inside a reader, or what the disk said.
pub fn copy_error(path: &Path, error: io::Error) -> ArchiveError {
    let entry = shown(path.as_os_str().as_bytes());
    error
        .downcast::<ArchiveError>()
        .unwrap_or_else(|error| ArchiveError::Write { entry, error })
}

/// Counts decompressed bytes of files.
pub struct Meter {
    bytes: Cell<u64>,
    /// Total, or what the ratio allows when that is less.
    limit: u64,
    by_ratio: bool,
    limits: Limits,
}

impl Meter {
    pub fn new(limits: &Limits, compressed: u64) -> Self {
        let by_ratio = compressed
            .saturating_mul(limits.ratio)
            .max(limits.ratio_from);
        Self {
            bytes: Cell::new(0),
            limit: limits.total.min(by_ratio),
            by_ratio: by_ratio < limits.total,
            limits: limits.clone(),
        }
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    fn add(&self, count: u64, entry: &Path) -> Result<(), ArchiveError> {
        self.bytes.set(self.bytes.get().saturating_add(count));
        if self.bytes.get() <= self.limit {
            return Ok(());
        }
        Err(self.exceeded(shown(entry.as_os_str().as_bytes())))
    }

    fn exceeded(&self, entry: String) -> ArchiveError {
        if self.by_ratio {
            ArchiveError::Ratio {
                entry,
                ratio: self.limits.ratio,
            }
        } else {
            ArchiveError::Total {
                entry,
                limit: self.limits.total,
            }
        }
    }
}

/// A file's content, counted; ends with an error at a limit. Errors of the source are the
/// archive's, so that the sink can tell them from the disk's.
struct Content<'a, R> {
    source: R,
    path: &'a Path,
    meter: &'a Meter,
    left: u64,
    format: &'static str,
}

impl<'a, R: Read> Content<'a, R> {
    fn new(source: R, path: &'a Path, meter: &'a Meter, format: &'static str) -> Self {
        Self {
            source,
            path,
            meter,
            left: meter.limits.file,
            format,
        }
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self
            .source
            .read(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::Interrupted => error,
                _ => io::Error::other(unreadable(self.format, error)),
            })?;
        let size = count as u64;
        if size > self.left {
            let (entry, limit) = (
                shown(self.path.as_os_str().as_bytes()),
                self.meter.limits.file,
            );
            return Err(io::Error::other(ArchiveError::File { entry, limit }));
        }
        self.left -= size;
        self.meter.add(size, self.path).map_err(io::Error::other)?;
        Ok(count)
    }
}

/// Turns a library's error into a refusal, unless it carries one of ours.
fn unreadable(format: &'static str, error: io::Error) -> ArchiveError {
    error
        .downcast::<ArchiveError>()
        .unwrap_or_else(|error| ArchiveError::Unreadable {
            format,
            detail: error.to_string(),
        })
}

/// A stream that fails once its allowance is used up.
struct Allowed<R> {
    source: R,
    /// For the part that is being read now.
    now: Rc<Cell<u64>>,
    /// For the whole stream.
    all: u64,
}

impl<R: Read> Read for Allowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.now.get().min(self.all).min(buffer.len() as u64);
        if allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "allowance used up",
            ));
        }
        let part = buffer
            .get_mut(..usize::try_from(allowed).unwrap_or(usize::MAX))
            .unwrap_or_default();
        let count = self.source.read(part)?;
        self.now.set(self.now.get() - count as u64);
        self.all -= count as u64;
        Ok(count)
    }
}

impl<R: Read + Seek> Seek for Allowed<R> {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.source.seek(position)
    }
}

pub fn tar_gz<R: Read>(
    reader: R,
    meter: &Meter,
    rules: &mut Rules<'_>,
    sink: &mut dyn Sink,
) -> Result<(), ArchiveError> {
    const FORMAT: &str = "tar.gz";
    let now = Rc::new(Cell::new(HEADER_MAX));
    let mut archive = tar::Archive::new(Allowed {
        source: MultiGzDecoder::new(BufReader::with_capacity(64 << 10, reader)),
        now: Rc::clone(&now),
        all: meter.limit.saturating_add(OVERHEAD),
    });
    let mut entries = archive
        .entries()
        .map_err(|error| unreadable(FORMAT, error))?;
    loop {
        // Every content below is read to its end, so this covers headers and padding alone.
        now.set(HEADER_MAX);
        let mut entry = match entries.next() {
            None => return Ok(()),
            Some(Ok(entry)) => entry,
            Some(Err(error)) if error.kind() == io::ErrorKind::QuotaExceeded => {
                return Err(ArchiveError::Header {
                    entry: rules.entries() + 1,
                    limit: HEADER_MAX,
                });
            }
            Some(Err(error)) => return Err(unreadable(FORMAT, error)),
        };
        now.set(u64::MAX);
        rules.count()?;
        let name = entry.path_bytes().into_owned();
        let mode = entry.header().mode().unwrap_or(0o644);
        let refuse = |why| {
            Err(ArchiveError::Entry {
                entry: shown(&name),
                why,
            })
        };
        match entry.header().entry_type() {
            // Old archives mark folders by the slash only.
            EntryType::Directory | EntryType::Regular
                if name.ends_with(b"/") || entry.header().entry_type().is_dir() =>
            {
                if let Some(path) = rules.admit(&name, Kind::Folder)? {
                    sink.folder(&path, mode)?;
                }
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                if let Some(path) = rules.admit(&name, Kind::File)? {
                    sink.file(
                        &path,
                        mode,
                        &mut Content::new(&mut entry, &path, meter, FORMAT),
                    )?;
                }
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                if let Some(path) = rules.admit(&name, Kind::Link)? {
                    rules.check_target(&path, &target)?;
                    sink.link(&path, OsStr::from_bytes(&target))?;
                }
            }
            EntryType::Link => return refuse("is a hard link"),
            EntryType::Char | EntryType::Block => return refuse("is a device"),
            EntryType::Fifo => return refuse("is a pipe"),
            // git writes one with the commit's id.
            EntryType::XGlobalHeader => {}
            _ => return refuse("is of a kind that is not known"),
        }
        // What is left of folders with content and of ignored entries.
        let rest = Path::new("a header");
        io::copy(
            &mut Content::new(&mut entry, rest, meter, FORMAT),
            &mut io::sink(),
        )
        .map_err(|error| unreadable(FORMAT, error))?;
    }
}

pub fn zip<R: Read + Seek>(
    reader: R,
    meter: &Meter,
    rules: &mut Rules<'_>,
    sink: &mut dyn Sink,
) -> Result<(), ArchiveError> {
    const FORMAT: &str = "zip";
    let now = Rc::new(Cell::new(DIRECTORY_MAX));
    let source = Allowed {
        source: reader,
        now: Rc::clone(&now),
        all: u64::MAX,
    };
    let fail = |error: zip::result::ZipError| match error {
        zip::result::ZipError::Io(error) => unreadable(FORMAT, error),
        other => ArchiveError::Unreadable {
            format: FORMAT,
            detail: other.to_string(),
        },
    };
    let mut archive = ZipArchive::new(BufReader::new(source)).map_err(|error| {
        if now.get() == 0 {
            return ArchiveError::Directory {
                limit: DIRECTORY_MAX,
            };
        }
        fail(error)
    })?;
    now.set(u64::MAX);
    for index in 0..archive.len() {
        rules.count()?;
        let mut file = archive.by_index(index).map_err(fail)?;
        // The decoded name and the stored one must agree on what is dangerous.
        let name = file.name().as_bytes().to_vec();
        let stored = file.name_raw();
        if stored.contains(&0) || stored.contains(&b'\\') {
            let why = "has a NUL byte or a backslash in its path";
            return Err(ArchiveError::Entry {
                entry: shown(stored),
                why,
            });
        }
        let mode = file.unix_mode().unwrap_or(0o644);
        let format = mode & 0o170_000;
        match format {
            0o120_000 => {
                if let Some(path) = rules.admit(&name, Kind::Link)? {
                    let mut target = Vec::new();
                    Content::new(&mut file, &path, meter, FORMAT)
                        .take(4097)
                        .read_to_end(&mut target)
                        .map_err(|error| unreadable(FORMAT, error))?;
                    rules.check_target(&path, &target)?;
                    sink.link(&path, OsStr::from_bytes(&target))?;
                }
            }
            0 | 0o100_000 | 0o040_000 if file.is_dir() || format == 0o040_000 => {
                if let Some(path) = rules.admit(&name, Kind::Folder)? {
                    sink.folder(&path, mode)?;
                }
            }
            0 | 0o100_000 => {
                if let Some(path) = rules.admit(&name, Kind::File)? {
                    sink.file(
                        &path,
                        mode,
                        &mut Content::new(&mut file, &path, meter, FORMAT),
                    )?;
                }
            }
            _ => {
                let why = "is a device, a pipe or a socket";
                return Err(ArchiveError::Entry {
                    entry: shown(&name),
                    why,
                });
            }
        }
    }
    Ok(())
}
