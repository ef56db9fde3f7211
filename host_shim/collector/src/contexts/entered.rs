//! The stack of entered spans, of all calls that run and all guests.

use super::{CURRENT, LOST, Slot, open_slot, reject_span};
use crate::control::{control, limits};
use crate::guests::{self, Guest};
use crate::heap;
use crate::memory::{P, Var, fence, move_bytes};
use crate::rejections::{ENDED, KEPT_BYTES, NOT_ENTERED, SPAN_DEPTH, reject, reject_number};

/// The innermost entered span; none if there is none.
#[inline(always)]
pub fn entered_slot(guest: P<Guest>) -> P<Slot> {
    let control = control();
    let handle = control.current_handle as i64;
    if handle == 0 {
        return P::NONE;
    }
    if control.current_guest == guest.number {
        return open_slot(guest, handle);
    }
    entered_slot_of_other(guest)
}

#[inline(never)]
fn entered_slot_of_other(guest: P<Guest>) -> P<Slot> {
    let control = control();
    if control.frame_id != 0 {
        let other = guests::get(control.current_guest);
        return if other.is_none() { P::NONE } else { open_slot(other, control.current_handle as i64) };
    }
    // Outside of a call each guest has its own entries.
    let mut index = control.entered_len;
    while index > control.entered_base() {
        index -= 1;
        let entry = entry_at(index);
        if entry.handle != 0 && entry.guest == guest.number {
            return open_slot(guest, entry.handle);
        }
    }
    P::NONE
}

#[repr(C)]
struct Entry {
    /// 0: taken away.
    handle: i64,
    guest: u32,
    _free: u32,
}

const ENTRY: u32 = 16;

static STACK: Var<u32> = Var::new(0);
static STACK_CAP: Var<u32> = Var::new(0);

#[inline(always)]
fn entry_at(index: u32) -> P<Entry> {
    P::at(STACK.get() + index * ENTRY)
}

/// Make a span current.
pub fn enter(guest: P<Guest>, handle: i64) {
    if handle == CURRENT || handle == LOST {
        return;
    }
    let mut slot = open_slot(guest, handle);
    if slot.is_none() {
        reject_span(guest, handle, ENDED);
        return;
    }
    let mut control = control();
    let depth = limits().span_depth;
    if (control.frame_id == 0 || control.entered_len - control.entered_base() >= depth) && entries(guest) >= depth
        || slot.entered == u16::MAX
    {
        reject_number(guest, SPAN_DEPTH, i64::from(depth));
        return;
    }
    if control.entered_len >= STACK_CAP.get() && !grow_stack() {
        reject(guest, KEPT_BYTES);
        return;
    }
    let mut entry = entry_at(control.entered_len);
    entry.handle = handle;
    entry.guest = guest.number;
    fence();
    control.entered_len += 1;
    slot.entered += 1;
    set_current(slot, guest.number, handle);
}

/// How many entries of this call there are: outside of a call, those of a guest. Takes out those that are none.
fn entries(guest: P<Guest>) -> u32 {
    let mut control = control();
    let base = control.entered_base();
    let len = control.entered_len;
    let mut count = 0;
    let mut to = base;
    let mut index = base;
    while index < len {
        let mut entry = entry_at(index);
        if entry.handle != 0 {
            if control.frame_id != 0 || entry.guest == guest.number {
                count += 1;
            }
            if to != index {
                let (handle, number) = (entry.handle, entry.guest);
                let mut place = entry_at(to);
                // With no call or loop in between: after a trap it must not be there twice.
                place.handle = handle;
                place.guest = number;
                entry.handle = 0;
            }
            to += 1;
        }
        index += 1;
    }
    control.entered_len = to;
    count
}

fn grow_stack() -> bool {
    let cap = if STACK_CAP.get() == 0 { 16 } else { STACK_CAP.get() * 2 };
    if cap > 1 << 24 {
        return false;
    }
    let block = heap::alloc(cap * ENTRY);
    if block == 0 {
        return false;
    }
    let (old, old_cap) = (STACK.get(), STACK_CAP.get());
    move_bytes(block, old, control().entered_len * ENTRY);
    STACK.set(block);
    STACK_CAP.set(cap);
    heap::free(old, old_cap * ENTRY);
    true
}

#[inline(always)]
fn set_current(slot: P<Slot>, guest: u32, handle: i64) {
    let mut control = control();
    control.current_handle = handle as u64;
    control.current_trace_id = slot.context.trace_id;
    control.current_span_id = slot.context.span_id;
    control.current_guest = guest;
    control.current_flags = slot.context.flags;
    control.current_is_recording = slot.context.is_recording;
    control.current_tracestate = slot.context.tracestate;
}

/// Work out which span is current from the stack.
fn refresh_current() {
    let mut control = control();
    let base = control.entered_base();
    while control.entered_len > base {
        let entry = entry_at(control.entered_len - 1);
        let guest = guests::get(entry.guest);
        if entry.handle != 0 && !guest.is_none() {
            let slot = open_slot(guest, entry.handle);
            if !slot.is_none() {
                set_current(slot, entry.guest, entry.handle);
                return;
            }
        }
        control.entered_len -= 1;
    }
    control.current_handle = 0;
}

/// As after a nested call that took entries of this one away.
pub fn refresh() {
    refresh_current();
    let mut control = control();
    let mut is_stale = 0;
    let mut index = control.entered_base();
    while index > 0 {
        index -= 1;
        if entry_at(index).handle == 0 {
            is_stale = 1;
            break;
        }
    }
    control.stale = is_stale;
}

/// Take a span's innermost entry of this call away.
pub fn exit(guest: P<Guest>, handle: i64) {
    if handle == CURRENT || handle == LOST {
        return;
    }
    let control = control();
    let mut slot = open_slot(guest, handle);
    if !slot.is_none() && slot.entered != 0 {
        let mut index = control.entered_len;
        while index > control.entered_base() {
            index -= 1;
            let mut entry = entry_at(index);
            if entry.handle == handle && entry.guest == guest.number {
                entry.handle = 0;
                slot.entered -= 1;
                fence();
                if index + 1 == control.entered_len {
                    refresh_current();
                }
                return;
            }
        }
    }
    reject_span(guest, handle, NOT_ENTERED);
}

/// Take all entries of a span away, those of the calls around this one, too.
#[inline(never)]
pub fn take_off(guest: P<Guest>, slot: P<Slot>, handle: i64) {
    let mut slot = slot;
    let mut control = control();
    let base = control.entered_base();
    let mut is_current = false;
    let mut index = control.entered_len;
    while index > 0 && slot.entered != 0 {
        index -= 1;
        let mut entry = entry_at(index);
        if entry.handle == handle && entry.guest == guest.number {
            entry.handle = 0;
            slot.entered -= 1;
            if index < base {
                control.stale = 1;
            } else if index + 1 == control.entered_len {
                is_current = true;
            }
        }
    }
    if is_current {
        refresh_current();
    }
}

/// A call is over: what it left entered is so no longer.
pub fn end_frame() {
    let mut control = control();
    let base = control.entered_base();
    while control.entered_len > base {
        let entry = entry_at(control.entered_len - 1);
        let guest = guests::get(entry.guest);
        if entry.handle != 0 && !guest.is_none() {
            let mut slot = open_slot(guest, entry.handle);
            if !slot.is_none() && slot.entered != 0 {
                slot.entered -= 1;
            }
        }
        fence();
        control.entered_len -= 1;
    }
    control.current_handle = 0;
}

pub fn mark_stack() {
    heap::mark(STACK.get(), STACK_CAP.get() * ENTRY);
}

/// After a trap: count anew how often each span stands on the stack. All counts are 0.
pub fn recover_stack() {
    let control = control();
    let mut index = 0;
    while index < control.entered_len {
        let entry = entry_at(index);
        let guest = guests::get(entry.guest);
        if entry.handle != 0 && !guest.is_none() {
            let mut slot = open_slot(guest, entry.handle);
            if !slot.is_none() {
                slot.entered += 1;
            }
        }
        index += 1;
    }
    refresh_current();
}
