//! Spans by their handles, remote contexts, and which one is current.

mod entered;
mod remote;
mod slots;

pub use entered::{end_frame, enter, entered_slot, exit, mark_stack, recover_stack, refresh, take_off};
pub use remote::{each_remote, forget_remote, keep_remote};
pub use slots::{NO_SLOT, each_slot, end_slot, find_slot, take_slot};

use crate::control::{Context, control, limits};
use crate::guests::Guest;
use crate::heap;
use crate::host;
use crate::memory::{P, Var, r32};
use crate::rejections::{HANDLE, reject_number};
use remote::{REMOTE, known_remote};

/// A span of a guest, open or ended. A handle is how often its slot was used before and, in the low 20 bits, its
/// number + 1: the first handles are 1, 2, 3.
#[repr(C)]
pub struct Slot {
    pub context: Context,
    /// Open: the call in which it was started. Ended: how many of the guest's spans ended up to it.
    pub when: u64,
    /// What was recorded of it; 0 if nothing is.
    pub body: u32,
    /// Number + 1 of the next in the list of open or ended spans, and of the one before.
    pub next: u32,
    pub previous: u32,
    pub entered: u16,
    pub state: u16,
}

pub const OPEN: u16 = 1;
pub const OVER: u16 = 2;
const SLOT: u32 = 64;
const _: () = assert!(core::mem::size_of::<Slot>() == SLOT as usize);
/// Slots of a segment, as a power of two.
const SEGMENT: u32 = 6;
const SEGMENT_BYTES: u32 = SLOT << SEGMENT;
const NUMBER: i64 = 0xf_ffff;

pub const CURRENT: i64 = 0;
const NOWHERE: i64 = -1;
/// What guests pass for a span that was not kept.
pub const LOST: i64 = -2;

static NO_CONTEXT: Var<[u64; 6]> = Var::new([0; 6]);

#[inline(always)]
pub fn slot_at(guest: P<Guest>, index: u32) -> P<Slot> {
    P::at(r32(guest.segments + (index >> SEGMENT) * 4) + (index & ((1 << SEGMENT) - 1)) * SLOT)
}

#[inline(always)]
pub fn handle_of(index: u32, generation: u32) -> i64 {
    i64::from(generation - 1) << 20 | i64::from(index + 1)
}

#[inline(always)]
pub fn index_of(handle: i64) -> u32 {
    (handle & NUMBER) as u32 - 1
}

/// The slot of a handle if it was given out last for it; none otherwise.
#[inline(always)]
fn slot_of(guest: P<Guest>, handle: i64) -> P<Slot> {
    let index = ((handle & NUMBER) as u32).wrapping_sub(1);
    if index >= guest.slots {
        return P::NONE;
    }
    let slot = slot_at(guest, index);
    if i64::from(slot.context.extra) - 1 == handle >> 20 { slot } else { P::NONE }
}

/// The slot of an open span.
#[inline(always)]
pub fn open_slot(guest: P<Guest>, handle: i64) -> P<Slot> {
    let slot = slot_of(guest, handle);
    if slot.is_none() || slot.state != OPEN { P::NONE } else { slot }
}

/// The context of a span or remote context that is known.
#[inline(never)]
fn known(guest: P<Guest>, handle: i64) -> P<Context> {
    let slot = slot_of(guest, handle);
    if !slot.is_none() {
        if slot.state == OPEN {
            return P::at(slot.0);
        }
        if slot.state == OVER && guest.ends - slot.when < u64::from(limits().kept_contexts) {
            return P::at(slot.0);
        }
        return P::NONE;
    }
    known_remote(guest, handle)
}

/// Count what cannot be done to a span: for a reason, if it was one once.
#[inline(never)]
pub fn reject_span(guest: P<Guest>, handle: i64, reason: u32) {
    let reason = if known(guest, handle).is_none() { HANDLE } else { reason };
    reject_number(guest, reason, handle);
}

/// Resolve a context argument; one that is unknown is counted if `counts`, and is the current one.
#[inline(always)]
pub fn resolve<const COUNTS: bool>(guest: P<Guest>, handle: i64) -> P<Context> {
    if handle == CURRENT || handle == LOST {
        return current(guest);
    }
    if handle == NOWHERE {
        return P::at(NO_CONTEXT.address());
    }
    let found = known(guest, handle);
    if !found.is_none() {
        return found;
    }
    if COUNTS {
        reject_number(guest, HANDLE, handle);
    }
    current(guest)
}

/// Resolve a link's target; none if there is none, and counted if it is unknown.
pub fn link_target(guest: P<Guest>, handle: i64) -> P<Context> {
    if handle == LOST {
        return P::NONE;
    }
    let found = if handle == CURRENT { current(guest) } else { known(guest, handle) };
    if found.is_none() {
        reject_number(guest, HANDLE, handle);
        return P::NONE;
    }
    if found.is_valid != 0 { found } else { P::NONE }
}

/// Whether a context argument is unknown.
#[inline(always)]
pub fn is_unknown(guest: P<Guest>, handle: i64) -> bool {
    !(handle == CURRENT || handle == LOST || handle == NOWHERE) && known(guest, handle).is_none()
}

/// The innermost entered span, else the host's span of the call, else OpenTelemetry's current one.
#[inline(always)]
fn current(guest: P<Guest>) -> P<Context> {
    let control = control();
    if control.frame_id != 0 && control.current_handle == 0 {
        return P::at(&raw const control.frame as u32);
    }
    current_entered(guest)
}

#[inline(never)]
fn current_entered(guest: P<Guest>) -> P<Context> {
    let control = control();
    let entered = entered_slot(guest);
    if !entered.is_none() {
        return P::at(entered.0);
    }
    if control.frame_id == 0 {
        host::ambient(guest.number);
    }
    P::at(&raw const control.frame as u32)
}

/// After a trap: mark the blocks of a guest's spans and remote contexts.
pub fn mark(guest: P<Guest>) {
    heap::mark(guest.segments, guest.segments_cap * 4);
    heap::mark(guest.remote, guest.remote_cap * REMOTE);
    let mut segment = 0;
    while segment < guest.segments_made {
        heap::mark(r32(guest.segments + segment * 4), SEGMENT_BYTES);
        segment += 1;
    }
}
