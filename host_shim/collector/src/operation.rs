//! The frame of every exported function: begin, end, and what a trap in between left behind.

use crate::control::control;
use crate::guests::{self, Guest};
use crate::memory::{P, Var, fence};
use crate::recovery;
use crate::rejections::{INTERNAL, INTERRUPTED, reject};

/// Number + 1 of the guest whose record is being made and lost if a trap strikes now; 0 none.
static IN_HAND: Var<u32> = Var::new(0);

/// Begin an operation of a guest. None if there is no such guest, or the host is being asked something: then nothing
/// is to be done. After anything else, `end` must follow.
#[inline(always)]
pub fn begin(number: u32) -> P<Guest> {
    if control().busy != 0 && !begin_slowly(number) {
        return P::NONE;
    }
    let guest = guests::get(number);
    if !guest.is_none() {
        control().busy = 1;
        fence();
    }
    guest
}

/// As `begin`, of an operation that makes a record or registers something.
#[inline(always)]
pub fn begin_record(number: u32) -> P<Guest> {
    let guest = begin(number);
    if !guest.is_none() {
        IN_HAND.set(number + 1);
        fence();
    }
    guest
}

/// Begin an operation of the host. False if nothing is to be done.
pub fn begin_host() -> bool {
    if control().busy != 0 && !begin_slowly(0xffff_ffff) {
        return false;
    }
    control().busy = 1;
    fence();
    true
}

#[inline(never)]
fn begin_slowly(number: u32) -> bool {
    if control().in_host != 0 {
        let guest = guests::get(number);
        if !guest.is_none() {
            reject(guest, INTERNAL);
        }
        return false;
    }
    recover_now();
    true
}

/// The record is where it belongs. To be called with no function call or loop between this and the writes that put it
/// there.
#[inline(always)]
pub fn commit() {
    IN_HAND.set(0);
}

#[inline(always)]
pub fn end() {
    fence();
    IN_HAND.set(0);
    control().busy = 0;
}

/// Put everything right after a trap.
#[inline(never)]
pub fn recover_now() {
    recovery::recover();
    fence();
    let guest = guests::get(IN_HAND.get().wrapping_sub(1));
    // One after the other, with nothing in between that could be interrupted: a trap must not be counted twice.
    if !guest.is_none() {
        reject(guest, INTERRUPTED);
    }
    fence();
    IN_HAND.set(0);
    control().in_host = 0;
    control().busy = 0;
    fence();
}
