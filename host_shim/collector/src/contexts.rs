//! Spans by their handles, remote contexts, and which one is current.

use crate::control::{Context, control, limits};
use crate::guests::{self, Guest};
use crate::heap;
use crate::host;
use crate::memory::{P, Var, fence, fill, move_bytes, r32, w32};
use crate::operation;
use crate::rejections::{ENDED, HANDLE, KEPT_BYTES, NOT_ENTERED, SPAN_DEPTH, reject, reject_number};

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
/// No span has this number: so end the handles of remote contexts.
const IS_REMOTE: i64 = NUMBER;
pub const MAX_SLOTS: u32 = 0xf_fff0;

pub const CURRENT: i64 = 0;
pub const NOWHERE: i64 = -1;
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

// The stack of entered spans, of all calls that run and all guests.

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
        let entry = entry_at(index);
        if entry.handle != 0 {
            if control.frame_id != 0 || entry.guest == guest.number {
                count += 1;
            }
            if to != index {
                // An entry that is there twice for a moment is no harm: `recover` counts anew.
                let (handle, number) = (entry.handle, entry.guest);
                let mut place = entry_at(to);
                place.handle = handle;
                place.guest = number;
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
pub fn refresh_current() {
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

// Remote contexts.

#[repr(C)]
struct Remote {
    context: Context,
    /// It is the so-manieth that the guest was given; 0: forgotten.
    serial: u64,
}

const REMOTE: u32 = core::mem::size_of::<Remote>() as u32;

#[inline(always)]
fn remote_at(guest: P<Guest>, serial: u64) -> P<Remote> {
    P::at(guest.remote + ((serial - 1) % u64::from(guest.remote_cap)) as u32 * REMOTE)
}

fn remote_of(guest: P<Guest>, handle: i64) -> P<Remote> {
    let serial = (handle >> 20) as u64;
    if handle & NUMBER != IS_REMOTE || handle < 0 || serial == 0 || serial > guest.remotes {
        return P::NONE;
    }
    if guest.remotes - serial >= u64::from(limits().kept_contexts)
        || guest.remotes - serial >= u64::from(guest.remote_cap)
    {
        return P::NONE;
    }
    let remote = remote_at(guest, serial);
    if remote.serial == serial { remote } else { P::NONE }
}

#[inline(never)]
fn known_remote(guest: P<Guest>, handle: i64) -> P<Context> {
    P::at(remote_of(guest, handle).0)
}

/// Forget a remote context; false if it is not known.
pub fn forget_remote(guest: P<Guest>, handle: i64) -> bool {
    let mut remote = remote_of(guest, handle);
    if remote.is_none() {
        return false;
    }
    remote.serial = 0;
    true
}

/// Remember a remote context; gives its handle, 0 if there is no memory.
pub fn keep_remote(guest: P<Guest>, trace_id: [u64; 2], span_id: u64, flags: u32, tracestate: u32) -> i64 {
    let mut guest = guest;
    let serial = guest.remotes + 1;
    let wanted = if limits().kept_contexts == 0 { 1 } else { limits().kept_contexts };
    let cap = guest.remote_cap;
    // It grows before it goes round for the first time: what is in it keeps its place.
    if cap < wanted && serial > u64::from(cap) {
        let mut more = if cap == 0 { 16 } else { cap * 2 };
        if more > wanted {
            more = wanted;
        }
        let block = if more > heap::MAX_BYTES / REMOTE { 0 } else { heap::alloc(more * REMOTE) };
        if block != 0 {
            fill(block, more * REMOTE);
            let old = guest.remote;
            move_bytes(block, old, cap * REMOTE);
            guest.remote = block;
            guest.remote_cap = more;
            heap::free(old, cap * REMOTE);
        } else {
            reject(guest, KEPT_BYTES);
            return 0;
        }
    }
    let mut remote = remote_at(guest, serial);
    remote.context.trace_id = trace_id;
    remote.context.span_id = span_id;
    remote.context.flags = flags as u8;
    remote.context.is_remote = 1;
    remote.context.is_valid = 1;
    remote.context.is_recording = 0;
    remote.context.tracestate = tracestate;
    remote.serial = serial;
    guest.remotes = serial;
    operation::commit();
    (serial as i64) << 20 | IS_REMOTE
}

// Slots.

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

pub const NO_SLOT: u32 = 0xffff_ffff;

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

#[inline(always)]
pub fn index_of(handle: i64) -> u32 {
    (handle & NUMBER) as u32 - 1
}

/// Call a function with each slot of a guest that was ever used: `visit` for all guests' spans in recovery.
#[inline(always)]
pub fn each_slot(guest: P<Guest>, visit: impl Fn(P<Slot>)) {
    let mut index = 0;
    while index < guest.slots {
        visit(slot_at(guest, index));
        index += 1;
    }
}

#[inline(always)]
pub fn each_remote(guest: P<Guest>, visit: impl Fn(P<Context>)) {
    let mut index = 0;
    while index < guest.remote_cap {
        let remote: P<Remote> = P::at(guest.remote + index * REMOTE);
        if remote.serial != 0 {
            visit(P::at(remote.0));
        }
        index += 1;
    }
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
