//! Counts of what guests sent and nobody could use. A reason is an index; docs/abi.md says what each means.

use crate::control::control;
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, fence, fill, move_bytes, w8, w32};

pub const NO_MEMORY: u32 = 1;
pub const OUT_OF_BOUNDS: u32 = 2;
pub const UTF8: u32 = 3;
pub const ATTRIBUTE: u32 = 4;
pub const ATTRIBUTE_TYPE: u32 = 5;
pub const ATTRIBUTE_FIELD: u32 = 6;
pub const ATTRIBUTE_RESERVED: u32 = 7;
pub const ATTRIBUTE_KEY: u32 = 8;
pub const ATTRIBUTES_SIZE: u32 = 9;
pub const ATTRIBUTE_COUNT: u32 = 10;
pub const ATTRIBUTE_ELEMENTS: u32 = 11;
pub const ATTRIBUTE_DEPTH: u32 = 12;
pub const SEVERITY: u32 = 13;
pub const KIND: u32 = 14;
pub const STATUS: u32 = 15;
pub const ENDED: u32 = 16;
pub const NOT_ENTERED: u32 = 17;
pub const DESCRIPTOR: u32 = 18;
pub const CALLSITE: u32 = 19;
pub const INSTRUMENT: u32 = 20;
pub const ATTRIBUTE_SET: u32 = 21;
pub const HANDLE: u32 = 22;
// traceparent is 23 and tracestate 24: counted by the host.
pub const MEASUREMENT: u32 = 25;
pub const EVENT_COUNT: u32 = 26;
pub const LINK_COUNT: u32 = 27;
pub const OPEN_SPANS: u32 = 28;
pub const SPAN_DEPTH: u32 = 29;
pub const CALLSITE_COUNT: u32 = 30;
pub const INSTRUMENT_COUNT: u32 = 31;
pub const KEPT_BYTES: u32 = 32;
pub const INTERNAL: u32 = 33;
pub const INTERRUPTED: u32 = 34;
pub const BUFFER_FULL: u32 = 35;

const SHOWN: u32 = 160;

const TEXT: u32 = 4 + SHOWN;
const TEXTS_BYTES: u32 = 64 * TEXT;

/// Of each reason, what was rejected last: its length (u32), then its bytes. The host finds them by CONTROL.text_ptr, which
/// is 0 as long as nothing was rejected. 0 if there is no memory for them.
fn text_of(reason: u32) -> u32 {
    let mut control = control();
    if control.text_ptr == 0 {
        let block = heap::alloc(TEXTS_BYTES);
        if block == 0 {
            return 0;
        }
        fill(block, TEXTS_BYTES);
        fence();
        control.text_ptr = block;
    }
    control.text_ptr + (reason & 63) * TEXT
}

pub fn mark() {
    heap::mark(control().text_ptr, TEXTS_BYTES);
}

/// Have nothing to show for a reason.
fn forget_text(reason: u32) {
    if control().text_ptr != 0 {
        w32(text_of(reason), 0);
    }
}

/// Count a rejection.
#[inline(never)]
pub fn reject(guest: P<Guest>, reason: u32) {
    add(guest, reason, 1);
    forget_text(reason);
}

/// Count several.
#[inline(never)]
pub fn reject_times(guest: P<Guest>, reason: u32, times: u32) {
    add(guest, reason, times);
    forget_text(reason);
}

#[inline(always)]
fn add(mut guest: P<Guest>, reason: u32, times: u32) {
    let slot = &mut guest.rejections[(reason & 63) as usize];
    *slot = slot.wrapping_add(times);
    control().rejected = control().rejected.wrapping_add(times);
}

/// Count a rejection and say in bytes of the guest what it was.
#[inline(never)]
pub fn reject_text(guest: P<Guest>, reason: u32, text: u32, size: u32) {
    add(guest, reason, 1);
    let shown = if size < SHOWN { size } else { SHOWN };
    let at = text_of(reason);
    if at != 0 {
        w32(at, 0);
        move_bytes(at + 4, text, shown);
        fence();
        w32(at, shown);
    }
}

/// Count a rejection and say the number that it was.
#[inline(never)]
pub fn reject_number(guest: P<Guest>, reason: u32, number: i64) {
    add(guest, reason, 1);
    let at = text_of(reason);
    if at != 0 {
        w32(at, decimal(at + 4, number));
    }
}

/// Write a number in decimal digits, at most 20; gives how many.
pub fn decimal(at: u32, number: i64) -> u32 {
    let mut rest = number.unsigned_abs();
    let mut size = (number < 0) as u32;
    if size != 0 {
        w8(at, u32::from(b'-'));
    }
    let mut scale = 1u64;
    while rest / scale >= 10 {
        scale *= 10;
    }
    while scale != 0 {
        w8(at + size, u32::from(b'0') + (rest / scale) as u32);
        rest %= scale;
        scale /= 10;
        size += 1;
    }
    size
}
