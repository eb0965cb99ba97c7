//! The last MiB of a terminal's output, in a file, by sequence number.
//!
//! Always holds: the header names only bytes that are written, and is written before anybody is
//! told of them; so whatever a client has seen is there after `kill -9` (the page cache outlives
//! the process; nothing is synced, a power cut may cost the tail). The file has room for more
//! than is kept, so that a write which was cut short has overwritten nothing that still counts.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Bytes that are kept.
pub const KEPT: u64 = 1 << 20;
/// The largest single write; the room beyond [`KEPT`].
const SLACK: u64 = 64 << 10;
const SPACE: u64 = KEPT + SLACK;
/// The header: a magic number, then the sequence number of the next byte, both little-endian.
const HEADER: u64 = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"odvring1");

pub struct Ring {
    file: File,
    next: u64,
}

impl Ring {
    /// A new ring with its whole space reserved, so that a full disk is noticed here.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, HEADER + SPACE) {
            // Some file systems cannot reserve; then a full disk shows later.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(errno.into()),
        }
        file.write_all_at(&MAGIC.to_le_bytes(), 0)?;
        let mut ring = Self { file, next: 0 };
        ring.publish(0)?;
        Ok(ring)
    }

    /// The ring of an earlier run.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let number = |offset| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, offset)?;
            io::Result::Ok(u64::from_le_bytes(bytes))
        };
        if number(0)? != MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a terminal ring",
            ));
        }
        let next = number(8)?;
        Ok(Self { file, next })
    }

    pub fn first(&self) -> u64 {
        self.next.saturating_sub(KEPT)
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn append(&mut self, output: &[u8]) -> io::Result<()> {
        for piece in output.chunks(usize::try_from(SLACK).unwrap_or(usize::MAX)) {
            self.copy(self.next, piece.len(), |file, at, from, to| {
                file.write_all_at(piece.get(from..to).unwrap_or_default(), at)
            })?;
            self.publish(self.next + piece.len() as u64)?;
        }
        Ok(())
    }

    /// At most `limit` bytes from `from` on, which must be between [`Self::first`] and next.
    pub fn read(&self, from: u64, limit: usize) -> io::Result<Vec<u8>> {
        let there = self.next.saturating_sub(from);
        let length = usize::try_from(there).unwrap_or(usize::MAX).min(limit);
        let mut output = vec![0; length];
        self.copy(from, length, |file, at, from, to| {
            file.read_exact_at(output.get_mut(from..to).unwrap_or_default(), at)
        })?;
        Ok(output)
    }

    /// Runs `io` on the one or two stretches of the file which hold `length` bytes from `start`.
    fn copy(
        &self,
        start: u64,
        length: usize,
        mut io: impl FnMut(&File, u64, usize, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let offset = start % SPACE;
        let until_wrap = usize::try_from(SPACE - offset)
            .unwrap_or(usize::MAX)
            .min(length);
        io(&self.file, HEADER + offset, 0, until_wrap)?;
        if until_wrap < length {
            io(&self.file, HEADER, until_wrap, length)?;
        }
        Ok(())
    }

    fn publish(&mut self, next: u64) -> io::Result<()> {
        self.file.write_all_at(&next.to_le_bytes(), 8)?;
        self.next = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_mebibyte_across_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ring");
        let mut ring = Ring::create(&path).unwrap();
        let mut all = Vec::new();
        for round in 0..400_u32 {
            let piece: Vec<u8> = (0..round * 37 % 9001)
                .map(|byte| (byte ^ round) as u8)
                .collect();
            ring.append(&piece).unwrap();
            all.extend_from_slice(&piece);
            if round % 50 == 0 {
                ring = Ring::open(&path).unwrap();
            }
        }
        assert!(all.len() as u64 > KEPT + SPACE / 4);
        assert_eq!(ring.next(), all.len() as u64);
        let mut at = ring.first();
        while at < ring.next() {
            let piece = ring.read(at, 30_000).unwrap();
            assert_eq!(piece, all[at as usize..at as usize + piece.len()]);
            at += piece.len() as u64;
        }
    }

    #[test]
    fn an_unpublished_write_harms_nothing_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.ring");
        let mut ring = Ring::create(&path).unwrap();
        let all: Vec<u8> = (0..KEPT * 2 + 5).map(|byte| (byte % 251) as u8).collect();
        ring.append(&all).unwrap();
        // As if the agent was killed after the data and before the header.
        ring.copy(ring.next, SLACK as usize, |file, at, from, to| {
            file.write_all_at(&vec![0xff; to - from], at)
        })
        .unwrap();
        let ring = Ring::open(&path).unwrap();
        let kept = ring.read(ring.first(), KEPT as usize).unwrap();
        assert_eq!(kept, all[all.len() - KEPT as usize..]);
    }
}
