//! Remote contexts: the last ones that a guest was given.

use super::NUMBER;
use crate::control::{Context, limits};
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, fill, move_bytes};
use crate::operation;
use crate::rejections::{KEPT_BYTES, reject};

/// No span has this number: so end the handles of remote contexts.
const IS_REMOTE: i64 = NUMBER;

#[repr(C)]
struct Remote {
    context: Context,
    /// It is the so-manieth that the guest was given; 0: forgotten.
    serial: u64,
}

pub const REMOTE: u32 = core::mem::size_of::<Remote>() as u32;

/// Where a remote context lies in a ring for so many.
#[inline(always)]
fn place_of(serial: u64, cap: u32) -> u32 {
    ((serial - 1) % u64::from(cap)) as u32 * REMOTE
}

#[inline(always)]
fn remote_at(guest: P<Guest>, serial: u64) -> P<Remote> {
    P::at(guest.remote + place_of(serial, guest.remote_cap))
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
pub fn known_remote(guest: P<Guest>, handle: i64) -> P<Context> {
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
    let is_full = cap == 0 || remote_at(guest, serial).serial != 0;
    // Where it cannot grow, the oldest one is forgotten early.
    if is_full && cap < wanted && !grow_ring(guest, wanted) && cap == 0 {
        reject(guest, KEPT_BYTES);
        return 0;
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

/// Have a ring for more, but for no more than `wanted`; false if there is no memory.
fn grow_ring(guest: P<Guest>, wanted: u32) -> bool {
    let mut guest = guest;
    let cap = guest.remote_cap;
    let mut more = if cap == 0 { 16 } else { cap * 2 };
    if more > wanted {
        more = wanted;
    }
    let block = if more > heap::MAX_BYTES / REMOTE { 0 } else { heap::alloc(more * REMOTE) };
    if block == 0 {
        return false;
    }
    fill(block, more * REMOTE);
    let old = guest.remote;
    let mut index = 0;
    while index < cap {
        let remote: P<Remote> = P::at(old + index * REMOTE);
        if remote.serial != 0 {
            move_bytes(block + place_of(remote.serial, more), remote.0, REMOTE);
        }
        index += 1;
    }
    guest.remote = block;
    guest.remote_cap = more;
    heap::free(old, cap * REMOTE);
    true
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
