//! Which keys came, in which order: the last of each counts, and only so many.

use super::bloom::{BLOOM, Bloom, take_bloom_bit};
use super::entries::{compact, find, has_key, key_of, next_entry};
use super::notes::{forget_notes, number_notes};
use super::{DEAD, GUEST, OF_SPAN};
use crate::control::limits;
use crate::heap;
use crate::memory::{Var, r8, r32, w8, w32};
use crate::rejections::{ATTRIBUTE_COUNT, reject_times};

// Of each attribute of the list, in the order in which its key first came: its entry and FLAGS.
pub static ORDER: Var<u32> = Var::new(0);
pub static ORDER_CAP: Var<u32> = Var::new(0);
pub static GIVEN: Var<u32> = Var::new(0);
const IS_FIXED: u32 = 1;
pub const IS_TRUNCATED: u32 = 2;
pub static HAS_DEAD: Var<bool> = Var::new(false);

// Entries that are there before those of the list: those of the host, which win, and the others, which lose.
pub static FIXED_START: Var<u32> = Var::new(0);
pub static FIXED_BASE: Var<u32> = Var::new(0);
pub static FIXED_END: Var<u32> = Var::new(0);

/// Say which entries are there already; of those up to `base_end`, the list can change none.
#[inline(always)]
pub fn begin_with(start: u32, base_end: u32, end: u32, bloom: Bloom) {
    FIXED_START.set(start);
    FIXED_BASE.set(base_end);
    FIXED_END.set(end);
    BLOOM.set(bloom);
}

pub fn grow_order(count: u32) -> bool {
    let block = heap::alloc(count * 8);
    if block == 0 {
        return false;
    }
    let (old, cap) = (ORDER.get(), ORDER_CAP.get());
    ORDER.set(block);
    ORDER_CAP.set(heap::rounded(count * 8) / 8);
    heap::free(old, cap * 8);
    true
}

/// Keep an entry whose key may have come before. False if it is the host's, and the entry is to go.
#[inline(never)]
pub fn enter(start: u32, noted: u32, flags: u32) -> bool {
    let (key, key_len) = key_of(start);
    let mut flags = flags;
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        if has_key(r32(place), key, key_len) {
            w8(r32(place), DEAD);
            HAS_DEAD.set(true);
            w32(place, start);
            forget_notes(noted, index);
            number_notes(noted, index);
            return true;
        }
        index += 1;
    }
    let mut at = FIXED_START.get();
    while at < FIXED_END.get() {
        if r8(at) != DEAD && has_key(at, key, key_len) {
            if at < FIXED_BASE.get() {
                return false;
            }
            w8(at, DEAD);
            HAS_DEAD.set(true);
            flags |= IS_FIXED;
            break;
        }
        at = next_entry(at);
    }
    let place = ORDER.get() + index * 8;
    w32(place, start);
    w32(place + 4, flags);
    GIVEN.set(index + 1);
    take_bloom_bit(key, key_len);
    number_notes(noted, index);
    true
}

/// How many attributes came, those of keys that were there before left out.
pub fn given() -> u32 {
    GIVEN.get()
}

/// Drop the last attributes of the list where there are too many together with `fixed` others, and close the gaps from
/// `start` on. Gives where the entries end, and how many there are in `kept`.
#[inline(always)]
pub fn finish(start: u32, end: u32, fixed: u32) -> u32 {
    let given = GIVEN.get();
    if fixed + given <= limits().attributes && !HAS_DEAD.get() {
        KEPT.set(fixed + given);
        return end;
    }
    finish_slowly(start, end, fixed)
}

static KEPT: Var<u32> = Var::new(0);

/// How many attributes the last `finish` left.
#[inline(always)]
pub fn kept() -> u32 {
    KEPT.get()
}

#[inline(never)]
fn finish_slowly(start: u32, end: u32, fixed: u32) -> u32 {
    let given = GIVEN.get();
    let mut sum = fixed;
    let mut index = 0;
    while index < given {
        sum += (r32(ORDER.get() + index * 8 + 4) & IS_FIXED == 0) as u32;
        index += 1;
    }
    KEPT.set(sum);
    let limit = limits().attributes;
    if sum > limit {
        let dropped = drop_last(sum - limit);
        KEPT.set(sum - dropped);
    }
    if HAS_DEAD.get() { compact(start, end) } else { end }
}

/// Drop so many of the list's last attributes that are not among the fixed ones, and count them. Gives how many.
pub fn drop_last(excess: u32) -> u32 {
    let mut dropped = 0;
    let mut index = GIVEN.get();
    while index > 0 && dropped < excess {
        index -= 1;
        let place = ORDER.get() + index * 8;
        if r32(place + 4) & (IS_FIXED | IS_TRUNCATED) == 0 && r8(r32(place)) != DEAD {
            w8(r32(place), DEAD);
            dropped += 1;
        }
    }
    if dropped != 0 {
        HAS_DEAD.set(true);
        reject_times(GUEST.get(), ATTRIBUTE_COUNT, dropped);
    }
    dropped
}

static REPLACED: Var<u32> = Var::new(0);

/// How many bytes the entries have that the last `count_new` found from `late` on.
pub fn replaced() -> u32 {
    REPLACED.get()
}

/// Say of the attributes of the list which are among those of a span, from `start` to `end`; gives how many are not.
pub fn count_new(start: u32, end: u32, late: u32) -> u32 {
    let mut new = 0;
    let mut bytes = 0;
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        let (key, key_len) = key_of(r32(place));
        let old = find(start, end, OF_SPAN, key, key_len);
        if old != 0 {
            w32(place + 4, r32(place + 4) | IS_FIXED);
            if old >= late {
                bytes += next_entry(old) - old;
            }
        } else {
            new += 1;
        }
        index += 1;
    }
    REPLACED.set(bytes);
    new
}

/// Drop the note on what was cut, if it is new to the span. Gives how many attributes that are.
pub fn drop_note() -> u32 {
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        if r32(place + 4) == IS_TRUNCATED {
            w8(r32(place), DEAD);
            HAS_DEAD.set(true);
            return 1;
        }
        index += 1;
    }
    0
}

/// Whether a dead entry is among those of the list, or of the fixed ones.
pub fn has_dead() -> bool {
    HAS_DEAD.get()
}
