//! An allocator that wipes what is freed, for the executable.
//!
//! A value that comes in over HTTP passes through buffers that are not ours: the connection's, the parser's, a text that a
//! form was made into. Wiping our own copies leaves those in freed memory, where a dump finds them for as long as nobody
//! else needs the place. What always holds: no byte of a freed block stays as it was; a block that grows leaves nothing where
//! it was. What still lives (a connection's buffer between two requests) is not freed, and so not wiped.

#![expect(
    unsafe_code,
    reason = "an allocator is made of unsafe functions; each hands on what it was promised"
)]

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, with memory wiped before it is given back.
pub struct Wiping;

// SAFETY: every call goes to the system's allocator with the arguments that the caller vouches for. `realloc` is the trait's
// own: it allocates, copies, and frees through `dealloc`, so that the old block is wiped as well.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout` is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is the caller's, `layout.size()` bytes long, and nobody uses it any more.
        unsafe {
            block.write_bytes(0, layout.size());
            // Writes to memory that is about to be freed may be left out, unless somebody may look at it in between.
            System.dealloc(std::hint::black_box(block), layout);
        }
    }
}

/// Gives freed memory back to the system, as far as the C library kept it for later. A start frees more than a server
/// that waits ever needs again, and checking a password takes 19 MiB for a moment.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time, from any thread; it touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}
