//! Ranges of the guest's memory, as the glue has copied them to the scratch buffer.

use crate::control::{control, limits};
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, Var};
use crate::rejections::{ATTRIBUTES_SIZE, KEPT_BYTES, NO_MEMORY, OUT_OF_BOUNDS, reject, reject_number};
use crate::text;

/// The glue could not get a scratch buffer large enough.
const NO_ROOM: i64 = -2;
/// Readers may look at so many bytes behind what they read.
const SLACK: u32 = 64;
/// The first scratch buffer has room for so much.
const FIRST: u32 = 8_000;
/// Longest scratch buffer: all ranges of a call together are much shorter unless the limits are enormous.
const MAX_SCRATCH: u32 = 1 << 28;

static NEXT: Var<u32> = Var::new(0);

/// There was no room for the ranges of the call, which is counted once.
static IS_COUNTED: Var<bool> = Var::new(false);

/// Begin with the first range of a call.
#[inline(always)]
pub fn begin() {
    IS_COUNTED.set(false);
    NEXT.set(control().scratch_ptr);
}

/// How many bytes of a text are there: one more than the limit, if it is longer.
#[inline(always)]
pub fn text_size(size: i64, limit: u32) -> u32 {
    if size <= 0 {
        0
    } else if size as u64 > u64::from(limit) {
        limit.saturating_add(1)
    } else {
        size as u32
    }
}

/// How many bytes of a list or descriptor are there: none, if it is longer than the limit.
#[inline(always)]
pub fn list_size(size: i64, limit: u32) -> u32 {
    if size <= 0 || size as u64 > u64::from(limit) { 0 } else { size as u32 }
}

/// The address of the next range, of which so many bytes are there.
#[inline(always)]
pub fn take(size: u32) -> u32 {
    let at = NEXT.get();
    NEXT.set(at + size);
    at
}

/// Count a range that could not be read; true if it could.
#[inline(always)]
pub fn is_readable(guest: P<Guest>, size: i64) -> bool {
    if size >= 0 {
        return true;
    }
    reject_range(guest, size);
    false
}

/// Count a list that is too long or could not be read; true if it is neither.
#[inline(always)]
pub fn check_list(guest: P<Guest>, size: i64) -> bool {
    if size as u64 <= u64::from(limits().attributes_bytes) {
        return true;
    }
    reject_list(guest, size);
    false
}

#[inline(never)]
fn reject_list(guest: P<Guest>, size: i64) {
    if size < 0 {
        reject_range(guest, size);
    } else {
        reject_number(guest, ATTRIBUTES_SIZE, size);
    }
}

#[inline(never)]
fn reject_range(guest: P<Guest>, size: i64) {
    if size <= NO_ROOM && IS_COUNTED.get() {
        return;
    }
    IS_COUNTED.set(true);
    reject(
        guest,
        if size <= NO_ROOM {
            KEPT_BYTES
        } else if guest.has_memory == 0 {
            NO_MEMORY
        } else {
            OUT_OF_BOUNDS
        },
    );
}

/// Cut a text: how many of the bytes that are there are used.
#[inline(always)]
pub fn cut(at: u32, there: u32, limit: u32) -> u32 {
    if there > limit { text::cut(at, limit) } else { there }
}

/// Have the scratch buffer hold so many bytes. There is none before it is needed.
pub fn reserve(bytes: u32) -> bool {
    let mut control = control();
    if bytes <= control.scratch_cap {
        return true;
    }
    if bytes > MAX_SCRATCH {
        return false;
    }
    let bytes = if bytes < FIRST { FIRST } else { bytes };
    let block = heap::alloc(bytes + SLACK);
    if block == 0 {
        return false;
    }
    let (old, cap) = (control.scratch_ptr, control.scratch_cap);
    control.scratch_ptr = block;
    control.scratch_cap = heap::rounded(bytes + SLACK) - SLACK;
    if old != 0 {
        heap::free(old, cap + SLACK);
    }
    true
}

pub fn mark() {
    let control = control();
    heap::mark(control.scratch_ptr, control.scratch_cap + SLACK);
}
