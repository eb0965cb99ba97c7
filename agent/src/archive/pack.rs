//! Making a .tar.gz of a folder, streamed. Links are stored as links and never followed; devices,
//! pipes and sockets are left out.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use tar::{Builder, EntryType, Header};

/// One descriptor is open per level.
const DEPTH_MAX: usize = 256;

/// Writes the folder's content below `name` (empty: at the top). Names that `skip` are left out.
///
/// # Errors
/// What cannot be read or written; the archive is then incomplete.
pub fn pack<W: Write>(
    folder: BorrowedFd<'_>,
    name: &Path,
    skip: fn(&[u8]) -> bool,
    out: W,
) -> io::Result<W> {
    // Level 3: a download is bound by the network or the reader, rarely worth more of our time.
    let mut builder = Builder::new(GzEncoder::new(out, Compression::new(3)));
    if !name.as_os_str().is_empty() {
        append_header(&mut builder, name, &fstat(folder)?, EntryType::Directory)?;
    }
    pack_level(&mut builder, folder, name, skip, DEPTH_MAX)?;
    builder.into_inner()?.finish()
}

fn pack_level<W: Write>(
    builder: &mut Builder<W>,
    folder: BorrowedFd<'_>,
    path: &Path,
    skip: fn(&[u8]) -> bool,
    depth: usize,
) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other(format!(
            "{}: nested too deeply",
            path.display()
        )));
    }
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") && !skip(name) {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    for name in names {
        let full = path.join(&name);
        let Some(stat) = crate::home::lstat(folder, &name)? else {
            continue;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let below = openat(folder, &name, flags, Mode::empty())?;
                append_header(builder, &full, &stat, EntryType::Directory)?;
                pack_level(builder, below.as_fd(), &full, skip, depth - 1)?;
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = File::from(openat(folder, &name, flags, Mode::empty())?);
                append_file(builder, &full, file)?;
            }
            FileType::Symlink => {
                let target = readlinkat(folder, &name, Vec::new())?.into_bytes();
                let mut header = header(&stat, EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, &full, OsStr::from_bytes(&target))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn header(stat: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o777);
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header
}

fn append_header<W: Write>(
    builder: &mut Builder<W>,
    path: &Path,
    stat: &Stat,
    kind: EntryType,
) -> io::Result<()> {
    let mut header = header(stat, kind);
    header.set_size(0);
    builder.append_data(&mut header, path, io::empty())
}

/// A file that changes while it is read gets exactly the size it had: cut, or filled with zeros.
fn append_file<W: Write>(builder: &mut Builder<W>, path: &Path, file: File) -> io::Result<()> {
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut header = header(&stat, EntryType::Regular);
    header.set_size(size);
    builder.append_data(&mut header, path, file.chain(io::repeat(0)).take(size))
}
