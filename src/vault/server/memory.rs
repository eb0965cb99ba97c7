//! Pages for key material: `memfd_secret(2)` where the kernel has it, else locked and kept out of
//! core dumps.
//!
//! `memfd_secret` pages are taken out of the kernel's own map. `/proc/pid/mem`, `ptrace` and
//! `process_vm_readv` cannot read them, not even for root, and they are never swapped. What is copied
//! out of them while an operation runs (a derived key in a cipher's state) lives on the stack for that
//! time, is wiped after, and has only the ordinary protection of a process that is not dumpable.

#![expect(
    unsafe_code,
    reason = "system calls that no safe wrapper offers; each block says why it is sound"
)]

use std::{io, ptr::NonNull};

use crate::vault::types::KeyMemory;

/// Memory for keys, for the life of the process: it is never unmapped, so that slices of it may be
/// `'static`.
pub struct SecretPages {
    free: &'static mut [u8],
    start: NonNull<libc::c_void>,
    length: usize,
    kind: KeyMemory,
}

impl SecretPages {
    /// Maps `length` bytes (rounded up to pages) of zeroes, in the best kind that works.
    ///
    /// # Errors
    /// When not even ordinary memory can be had.
    pub fn new(length: usize) -> io::Result<Self> {
        let length = length.next_multiple_of(PAGE);
        let (start, kind) = match map_secret(length) {
            Ok(start) => (start, KeyMemory::MemfdSecret),
            Err(_) => map_locked(length)?,
        };
        // SAFETY: the mapping is new, `length` bytes long, readable and writable, and never unmapped.
        let free = unsafe { std::slice::from_raw_parts_mut(start.as_ptr().cast::<u8>(), length) };
        Ok(Self {
            free,
            start,
            length,
            kind,
        })
    }

    /// Which kind it became.
    #[must_use]
    pub const fn kind(&self) -> KeyMemory {
        self.kind
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// When the pages are used up.
    pub fn take(&mut self, length: usize) -> io::Result<&'static mut [u8]> {
        let free = std::mem::take(&mut self.free);
        match free.split_at_mut_checked(length) {
            Some((taken, rest)) => {
                self.free = rest;
                Ok(taken)
            }
            None => Err(io::Error::other("the pages for keys are used up")),
        }
    }

    /// The next 32 bytes, as a key.
    ///
    /// # Errors
    /// When the pages are used up.
    pub fn take_key(&mut self) -> io::Result<&'static mut [u8; 32]> {
        self.take(32)?
            .try_into()
            .map_err(|_| io::Error::other("a key has 32 bytes"))
    }

    /// Makes the pages read-only. Every exclusive slice that [`SecretPages::take`] gave must have
    /// become a shared one by now; a write through one would end the process.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn freeze(self) -> io::Result<()> {
        // SAFETY: the range is the mapping made in `new`.
        check(unsafe { libc::mprotect(self.start.as_ptr(), self.length, libc::PROT_READ) })
    }
}

/// The unit of rounding. A larger real page only means that more than this is locked.
const PAGE: usize = 4096;

fn map_secret(length: usize) -> io::Result<NonNull<libc::c_void>> {
    // SAFETY: memfd_secret takes flags and returns a descriptor or -1.
    let descriptor = unsafe { libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC) };
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    check(descriptor)?;
    // SAFETY: the descriptor was just opened and nothing else owns it.
    let file = unsafe { <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(descriptor) };
    file.set_len(length as u64)?;
    map(length, libc::MAP_SHARED, descriptor)
}

fn map_locked(length: usize) -> io::Result<(NonNull<libc::c_void>, KeyMemory)> {
    let start = map(length, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: both calls get the mapping made above; failing leaves it ordinary memory.
    let protected = unsafe {
        libc::mlock(start.as_ptr(), length) == 0
            && libc::madvise(start.as_ptr(), length, libc::MADV_DONTDUMP) == 0
    };
    Ok((
        start,
        if protected {
            KeyMemory::Locked
        } else {
            KeyMemory::Plain
        },
    ))
}

fn map(length: usize, flags: i32, descriptor: i32) -> io::Result<NonNull<libc::c_void>> {
    // SAFETY: a new mapping at an address that the kernel chooses; nothing existing is replaced.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            descriptor,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start).ok_or_else(|| io::Error::other("the kernel mapped page zero"))
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_out_each_byte_once_and_ends() {
        let mut pages = SecretPages::new(100).unwrap();
        let first = pages.take_key().unwrap();
        let second = pages.take_key().unwrap();
        first.fill(1);
        second.fill(2);
        assert_eq!((first[31], second[0]), (1, 2));
        assert!(pages.take(PAGE).is_err());
    }
}
