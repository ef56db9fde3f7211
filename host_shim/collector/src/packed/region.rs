//! Where the record that is being made is written.

use super::keys::{FIXED_BASE, FIXED_END, FIXED_START, GIVEN, ORDER};
use crate::memory::{Var, move_bytes, r32, w32};
use crate::work;

// It begins at START, and may be written up to LIMIT and a little more. Where that is not enough, it moves to the work
// buffer.
static START: Var<u32> = Var::new(0);
pub static LIMIT: Var<u32> = Var::new(0);
/// Room behind LIMIT, to write loosely.
const SLACK: u32 = 64;

/// Say where the record begins that the list is part of, and where the room for it ends.
#[inline(always)]
pub fn region(start: u32, end: u32) {
    START.set(start);
    LIMIT.set(end - SLACK);
}

/// As `region`, of a record in the work buffer.
#[inline(always)]
pub fn region_in_work() {
    region(work::base(), work::end());
}

/// Where the record begins now: it moves when it needs more room.
#[inline(always)]
pub fn start() -> u32 {
    START.get()
}

/// Have room for so many bytes behind `at`. Gives where that is now; 0 if there is no memory.
#[inline(always)]
pub fn ensure(at: u32, bytes: u64) -> u32 {
    if u64::from(LIMIT.get()) >= u64::from(at) + bytes { at } else { relocate(at, bytes + u64::from(SLACK)) }
}

#[inline(never)]
fn relocate(at: u32, bytes: u64) -> u32 {
    let start = START.get();
    let wanted = u64::from(at - start) + bytes;
    let room = if start == work::base() {
        work::more(at, bytes)
    } else {
        let base = work::get(wanted);
        if base == 0 {
            return 0;
        }
        move_bytes(base, start, at - start);
        base + (at - start)
    };
    if room == 0 {
        return 0;
    }
    let moved = room.wrapping_sub(at);
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        w32(place, r32(place).wrapping_add(moved));
        index += 1;
    }
    FIXED_START.set(FIXED_START.get().wrapping_add(moved));
    FIXED_BASE.set(FIXED_BASE.get().wrapping_add(moved));
    FIXED_END.set(FIXED_END.get().wrapping_add(moved));
    region_in_work();
    room
}
