//! Which slots are in use: lists of the open spans, and of the ended ones, whose slots serve again.

use super::{OPEN, OVER, SEGMENT, SEGMENT_BYTES, Slot, handle_of, slot_at};
use crate::control::{control, limits};
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, fill, move_bytes, w32};

const MAX_SLOTS: u32 = 0xf_fff0;

pub const NO_SLOT: u32 = 0xffff_ffff;

/// Find a slot for another span: gives its number, or NO_SLOT. It is not taken yet.
#[inline(always)]
pub fn find_slot(guest: P<Guest>) -> u32 {
    if guest.ended_waiting > limits().kept_contexts {
        let index = guest.first_ended - 1;
        if slot_at(guest, index).context.extra != u32::MAX {
            return index;
        }
    }
    find_other_slot(guest)
}

#[inline(never)]
fn find_other_slot(guest: P<Guest>) -> u32 {
    // One that has used up its generations goes out of use.
    while guest.ended_waiting != 0 && slot_at(guest, guest.first_ended - 1).context.extra == u32::MAX {
        remove_first_ended(guest);
    }
    if guest.ended_waiting > limits().kept_contexts || !has_new_slot(guest) {
        // Without memory for another, the one that ended first is forgotten early.
        return if guest.ended_waiting != 0 { guest.first_ended - 1 } else { NO_SLOT };
    }
    guest.slots
}

/// Whether there is memory for a slot that was never used.
fn has_new_slot(guest: P<Guest>) -> bool {
    let mut guest = guest;
    let index = guest.slots;
    if index >= MAX_SLOTS {
        return false;
    }
    let segment = index >> SEGMENT;
    if segment < guest.segments_made {
        return true;
    }
    if segment >= guest.segments_cap {
        let cap = if segment == 0 { 16 } else { segment * 2 };
        let block = heap::alloc(cap * 4);
        if block == 0 {
            return false;
        }
        let (old, old_cap) = (guest.segments, guest.segments_cap);
        move_bytes(block, old, segment * 4);
        guest.segments = block;
        guest.segments_cap = cap;
        heap::free(old, old_cap * 4);
    }
    let block = heap::alloc(SEGMENT_BYTES);
    if block == 0 {
        return false;
    }
    fill(block, SEGMENT_BYTES);
    w32(guest.segments + segment * 4, block);
    guest.segments_made = segment + 1;
    true
}

#[inline(always)]
fn remove_first_ended(guest: P<Guest>) {
    let mut guest = guest;
    let next = slot_at(guest, guest.first_ended - 1).next;
    guest.first_ended = next;
    guest.ended_waiting -= 1;
    if next == 0 {
        guest.last_ended = 0;
    }
}

/// Take the slot that `find_slot` found, and put it at the end of the list of open spans. Gives its handle. What it
/// holds is to be written next, with no call or loop in between.
#[inline(always)]
pub fn take_slot(guest: P<Guest>, index: u32) -> i64 {
    let mut guest = guest;
    let mut slot = slot_at(guest, index);
    if index == guest.slots {
        guest.slots = index + 1;
    } else {
        remove_first_ended(guest);
    }
    let generation = slot.context.extra + 1;
    slot.context.extra = generation;
    slot.previous = guest.last_open;
    slot.next = 0;
    if guest.last_open != 0 {
        slot_at(guest, guest.last_open - 1).next = index + 1;
    } else {
        guest.first_open = index + 1;
    }
    guest.last_open = index + 1;
    guest.open += 1;
    slot.entered = 0;
    slot.state = OPEN;
    control().open_spans += 1;
    handle_of(index, generation)
}

/// Move a span from the open ones to the ended ones. No call, no loop.
#[inline(always)]
pub fn end_slot(guest: P<Guest>, slot: P<Slot>, index: u32) {
    let (mut guest, mut slot) = (guest, slot);
    let (next, previous) = (slot.next, slot.previous);
    if previous != 0 {
        slot_at(guest, previous - 1).next = next;
    } else {
        guest.first_open = next;
    }
    if next != 0 {
        slot_at(guest, next - 1).previous = previous;
    } else {
        guest.last_open = previous;
    }
    guest.open -= 1;
    slot.next = 0;
    if guest.last_ended != 0 {
        slot_at(guest, guest.last_ended - 1).next = index + 1;
    } else {
        guest.first_ended = index + 1;
    }
    guest.last_ended = index + 1;
    guest.ended_waiting += 1;
    guest.ends += 1;
    slot.when = guest.ends;
    slot.body = 0;
    slot.state = OVER;
    control().open_spans -= 1;
}

/// Call a function with each slot of a guest that was ever used.
#[inline(always)]
pub fn each_slot(guest: P<Guest>, visit: impl Fn(P<Slot>)) {
    let mut index = 0;
    while index < guest.slots {
        visit(slot_at(guest, index));
        index += 1;
    }
}
