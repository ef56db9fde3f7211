//! Bytes that are appended to: on the stack, and on the heap once they do not fit there.

use core::mem::MaybeUninit;

#[cfg(feature = "alloc")]
use alloc::alloc::{alloc, dealloc, Layout};

/// Room on the stack. Without an allocator it is all there is.
const INLINE: usize = if cfg!(feature = "alloc") { 512 } else { 1024 };

/// An append-only buffer. What finds no room is not written, nor is anything after it until `truncate`;
/// nothing here panics.
pub(crate) struct Buffer {
    inline: [MaybeUninit<u8>; INLINE],
    /// How much is written, inline or on the heap.
    len: usize,
    /// Whether something found no room.
    full: bool,
    /// All bytes, once they did not fit inline; null before.
    #[cfg(feature = "alloc")]
    heap: *mut u8,
    #[cfg(feature = "alloc")]
    capacity: usize,
}

impl Buffer {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            inline: [MaybeUninit::uninit(); INLINE],
            len: 0,
            full: false,
            #[cfg(feature = "alloc")]
            heap: core::ptr::null_mut(),
            #[cfg(feature = "alloc")]
            capacity: INLINE,
        }
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `push` and `truncate` keep `len` within what has been written at `start`.
        unsafe { core::slice::from_raw_parts(self.start(), self.len) }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Lets what comes next find no room.
    #[inline]
    pub(crate) fn refuse(&mut self) {
        self.full = true;
    }

    /// Takes back what was appended after the first `len` bytes, and makes it take more.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        debug_assert!(len <= self.len);
        self.len = len;
        self.full = false;
    }

    /// Where to write `size` more bytes; null, and full from now on, if there is no room.
    #[inline(never)]
    fn reserve(&mut self, size: usize) -> *mut u8 {
        // Two sizes of memory, each below half of what a usize holds.
        let end = self.len.wrapping_add(size);
        if self.full || (end > self.capacity() && !self.grow(end)) {
            self.full = true;
            return core::ptr::null_mut();
        }
        // SAFETY: `len`, being at most `end`, is within the capacity.
        unsafe { self.start_mut().add(self.len) }
    }

    #[inline(never)]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let to = self.reserve(bytes.len());
        if to.is_null() {
            return;
        }
        if cfg!(feature = "alloc") && bytes.len() > 32 {
            // SAFETY: there is room; and `bytes`, being borrowed, is no part of the buffer.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        } else {
            // Volatile, else the compiler makes a call of memcpy of it: 0.7 KB that small guests do not have.
            for (index, byte) in bytes.iter().enumerate() {
                // SAFETY: there is room.
                unsafe { to.add(index).write_volatile(*byte) };
            }
        }
        self.len += bytes.len();
    }

    /// Appends the `size` low bytes of `value`, at most 8.
    // One function for all widths, not inlined: a call with two constants is the least code, and one store of 8 bytes,
    // of which those beyond `size` will be overwritten, the fastest.
    #[inline(never)]
    pub(crate) fn push_int(&mut self, value: u64, size: usize) {
        debug_assert!(size <= 8);
        let to = self.reserve(8);
        if !to.is_null() {
            // SAFETY: there is room for 8 bytes.
            unsafe { to.cast::<u64>().write_unaligned(value.to_le()) };
            self.len += size;
        }
    }

    /// A text with its length as u16; what is longer is cut (every limit of the host is far below).
    pub(crate) fn push_text(&mut self, text: &str) {
        let text = text.as_bytes();
        let text = text.get(..0xFFFF).unwrap_or(text);
        self.push_int(text.len() as u64, 2);
        self.push(text);
    }

    /// Texts, each with its length as u16.
    #[inline(never)]
    pub(crate) fn push_texts(&mut self, texts: &[&str]) {
        for text in texts {
            self.push_text(text);
        }
    }

    /// Writes the number of bytes that follow the four at `at` into them.
    pub(crate) fn patch_size(&mut self, at: usize) {
        let Some(size) = self.len.checked_sub(at.saturating_add(4)) else {
            return; // they found no room, so the attribute will be taken back
        };
        let size = (size as u32).to_le_bytes();
        // SAFETY: at + 4 <= len, by the check above.
        unsafe {
            let to = self.start_mut().add(at);
            core::ptr::copy_nonoverlapping(size.as_ptr(), to, 4);
        }
    }
}

// Not a Vec, whose growing alone is more code than all of this.
#[cfg(feature = "alloc")]
impl Buffer {
    #[inline]
    fn start(&self) -> *const u8 {
        if self.heap.is_null() {
            self.inline.as_ptr().cast()
        } else {
            self.heap
        }
    }

    #[inline]
    fn start_mut(&mut self) -> *mut u8 {
        if self.heap.is_null() {
            self.inline.as_mut_ptr().cast()
        } else {
            self.heap
        }
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `end` bytes; false if there is no memory.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, end: usize) -> bool {
        let Ok(layout) = Layout::from_size_align(end.max(self.capacity.saturating_mul(2)), 1)
        else {
            return false;
        };
        // SAFETY: the size is not 0.
        let heap = unsafe { alloc(layout) };
        if heap.is_null() {
            return false;
        }
        // SAFETY: the new memory has room for more than `len` bytes, of which `start` has `len`.
        unsafe { core::ptr::copy_nonoverlapping(self.start(), heap, self.len) };
        self.free();
        self.heap = heap;
        self.capacity = layout.size();
        true
    }

    #[cold]
    #[inline(never)]
    fn free(&mut self) {
        if !self.heap.is_null() {
            // SAFETY: `grow` allocated it with this layout.
            unsafe {
                dealloc(
                    self.heap,
                    Layout::from_size_align_unchecked(self.capacity, 1),
                )
            };
        }
    }
}

#[cfg(feature = "alloc")]
impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if !self.heap.is_null() {
            self.free();
        }
    }
}

#[cfg(not(feature = "alloc"))]
impl Buffer {
    #[inline]
    fn start(&self) -> *const u8 {
        self.inline.as_ptr().cast()
    }

    #[inline]
    fn start_mut(&mut self) -> *mut u8 {
        self.inline.as_mut_ptr().cast()
    }

    #[inline]
    fn capacity(&self) -> usize {
        INLINE
    }

    #[inline]
    fn grow(&mut self, _end: usize) -> bool {
        false
    }
}

/// Only guests that format link the code of `core::fmt`.
impl core::fmt::Write for Buffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes());
        if self.full {
            return Err(core::fmt::Error);
        }
        Ok(())
    }
}
