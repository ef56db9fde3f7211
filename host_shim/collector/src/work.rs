//! The buffer in which a record is made that does not fit where it belongs, or whose size is not known before.

use crate::heap;
use crate::memory::{Var, move_bytes};

/// A larger one is not kept for the next record.
const KEPT: u32 = 1 << 18;

static BASE: Var<u32> = Var::new(0);
static CAP: Var<u32> = Var::new(0);

/// Have the buffer hold so many bytes; gives where it begins, 0 if there is no memory.
pub fn get(bytes: u64) -> u32 {
    if bytes > u64::from(heap::MAX_BYTES) {
        return 0;
    }
    let bytes = bytes as u32;
    if bytes > CAP.get() || (CAP.get() > KEPT && bytes <= KEPT) {
        let (old, cap) = (BASE.get(), CAP.get());
        BASE.set(0);
        CAP.set(0);
        heap::free(old, cap);
        let block = heap::alloc(bytes);
        if block == 0 {
            return 0;
        }
        BASE.set(block);
        CAP.set(heap::rounded(bytes));
    }
    BASE.get()
}

/// Where the buffer begins.
#[inline(always)]
pub fn base() -> u32 {
    BASE.get()
}

/// Where the buffer ends.
#[inline(always)]
pub fn end() -> u32 {
    BASE.get() + CAP.get()
}

/// Have room for so many bytes behind `at`, an address in the buffer. Gives where that is now: the buffer may have
/// moved. 0 if there is no memory.
pub fn more(at: u32, bytes: u64) -> u32 {
    let (base, cap) = (BASE.get(), CAP.get());
    let used = at - base;
    let wanted = u64::from(used) + bytes;
    if wanted <= u64::from(cap) {
        return at;
    }
    if wanted > u64::from(heap::MAX_BYTES) {
        return 0;
    }
    let block = heap::alloc(wanted as u32);
    if block == 0 {
        return 0;
    }
    move_bytes(block, base, used);
    BASE.set(block);
    CAP.set(heap::rounded(wanted as u32));
    heap::free(base, cap);
    block + used
}

pub fn mark() {
    heap::mark(BASE.get(), CAP.get());
}
