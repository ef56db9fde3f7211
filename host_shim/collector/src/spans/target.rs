//! Which span a function of the ABI changes, and whether it may hold more.

use crate::contexts::{self, CURRENT, LOST, Slot};
use crate::control::{control, limits};
use crate::guests::{self, Guest};
use crate::memory::{P, Var};
use crate::rejections::{ENDED, KEPT_BYTES, reject_number};

/// Whose span `find` found last.
pub static TARGET_GUEST: Var<P<Guest>> = Var::new(P::NONE);

/// Where the glue goes on: 0 nothing is to be done, 1 here, 2 with the host's span of the call. Counts what is unknown.
pub fn target(guest: P<Guest>, handle: i64) -> u32 {
    if handle == LOST {
        return 0;
    }
    if handle == CURRENT {
        let slot = contexts::entered_slot(guest);
        if !slot.is_none() {
            return u32::from(slot.context.is_recording);
        }
        let control = control();
        return if control.frame_id != 0 && control.frame.is_recording != 0 { 2 } else { 0 };
    }
    let slot = contexts::open_slot(guest, handle);
    if slot.is_none() {
        contexts::reject_span(guest, handle, ENDED);
        return 0;
    }
    u32::from(slot.context.is_recording)
}

/// As `target`, for `exception`: what is not recorded becomes a log record, which is made here.
pub fn exception_target(guest: P<Guest>, handle: i64) -> u32 {
    if handle == CURRENT || handle == LOST {
        let slot = contexts::entered_slot(guest);
        let control = control();
        return if slot.is_none() && control.frame_id != 0 && control.frame.is_recording != 0 { 2 } else { 1 };
    }
    if contexts::open_slot(guest, handle).is_none() {
        contexts::reject_span(guest, handle, ENDED);
    }
    1
}

/// The slot of a recorded span that `target` found; none otherwise. Its guest, which may be another one, is in
/// TARGET_GUEST.
#[inline(always)]
pub fn find(guest: P<Guest>, handle: i64) -> P<Slot> {
    let mut owner = guest;
    let slot = if handle == CURRENT {
        if control().frame_id != 0 && control().current_handle != 0 {
            owner = guests::get(control().current_guest);
        }
        contexts::entered_slot(guest)
    } else {
        contexts::open_slot(guest, handle)
    };
    TARGET_GUEST.set(owner);
    if slot.is_none() || slot.body == 0 { P::NONE } else { slot }
}

/// Whether a span may hold so many bytes more; counts the refusal.
#[inline(always)]
pub fn may_hold(guest: P<Guest>, size: u32) -> bool {
    let owner = TARGET_GUEST.get();
    if owner.registered_bytes + owner.kept_bytes + u64::from(size) <= u64::from(limits().kept_bytes) {
        return true;
    }
    reject_number(guest, KEPT_BYTES, i64::from(limits().kept_bytes));
    false
}
