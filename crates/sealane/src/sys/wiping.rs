//! An allocator that wipes what is given back to it.
//!
//! Our own secrets are wiped by their types. But what a caller of the KMS sends and is sent passes
//! through buffers of the libraries for HTTP, TLS and JSON, which are not, and a locked process
//! shall hold nothing that its callers had.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{Ordering, compiler_fence};

/// No request or answer is longer. What is, such as segments of volumes, passes sealed, or lies in
/// buffers that are used again.
const WIPED_BYTES_MAX: usize = 1024 * 1024;

/// `A`, with memory wiped before it goes back. Growing always moves, so that no copy stays behind.
pub struct Wiping<A>(pub A);

// SAFETY: all memory is `A`'s, under the layouts that it was asked for. Before a block goes back it
// is still the caller's whole block, of `layout.size()` bytes, and nobody else may look at it.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Wiping<A> {
    // SAFETY: the caller promises what `A` asks for.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised.
        unsafe { self.0.alloc(layout) }
    }

    // SAFETY: the caller promises what `A` asks for.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as promised.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    // SAFETY: the caller promises that the block came from here, with this layout.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if layout.size() <= WIPED_BYTES_MAX {
            // SAFETY: the caller gives back a block of that size, which may be written to.
            unsafe { block.write_bytes(0, layout.size()) };
            // Nobody reads these zeros: they must not be left out for that.
            compiler_fence(Ordering::SeqCst);
        }
        // SAFETY: as promised.
        unsafe { self.0.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::cell::Cell;

    use super::*;

    /// Says of each block that comes back whether it holds anything.
    struct Looking;

    thread_local! {
        static LEFT: Cell<Option<bool>> = const { Cell::new(None) };
    }

    // SAFETY: as the system's.
    unsafe impl GlobalAlloc for Looking {
        // SAFETY: as the system's.
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: passed on.
            unsafe { System.alloc(layout) }
        }

        // SAFETY: as the system's.
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: the tests below have written to all of the block.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            LEFT.set(Some(bytes.iter().any(|byte| *byte != 0)));
            // SAFETY: passed on.
            unsafe { System.dealloc(block, layout) }
        }
    }

    fn filled(size: usize) -> (*mut u8, Layout) {
        let layout = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: the size is not zero; the block is checked and wholly written.
        let block = unsafe { Wiping(Looking).alloc(layout) };
        assert!(!block.is_null());
        // SAFETY: it has that size.
        unsafe { block.write_bytes(7, size) };
        (block, layout)
    }

    #[test]
    fn what_goes_back_holds_nothing() {
        for (size, left) in
            [(1, false), (4096, false), (WIPED_BYTES_MAX, false), (WIPED_BYTES_MAX + 1, true)]
        {
            let (block, layout) = filled(size);
            // SAFETY: it was made with that layout.
            unsafe { Wiping(Looking).dealloc(block, layout) };
            assert_eq!(LEFT.take(), Some(left), "{size} bytes");
        }
    }

    #[test]
    fn growing_leaves_nothing_behind() {
        let (block, layout) = filled(100);
        // SAFETY: it was made with that layout, and the new size is not zero.
        let grown = unsafe { Wiping(Looking).realloc(block, layout, 200) };
        assert_eq!(LEFT.take(), Some(false));
        // SAFETY: the first 100 bytes were copied.
        assert_eq!(unsafe { grown.add(99).read() }, 7);
        // SAFETY: it has 200 bytes.
        unsafe { grown.write_bytes(7, 200) };
        // SAFETY: that is its layout now.
        unsafe { Wiping(Looking).dealloc(grown, Layout::from_size_align(200, 8).unwrap()) };
    }
}
