//! The frame of every exported function: begin, end, and what a trap in between left behind.

use crate::control::control;
use crate::guests::{self, Guest};
use crate::memory::{P, Var, fence};
use crate::rejections::{INTERNAL, INTERRUPTED, reject};
use crate::{heap, host, recovery};

/// Whether the host has begun.
static IS_READY: Var<bool> = Var::new(false);
/// Number + 1 of the guest whose record is being made and lost if a trap strikes now; 0 none.
static IN_HAND: Var<u32> = Var::new(0);

/// Begin an operation of a guest. None if there is no such guest, or the host is being asked something: then nothing
/// is to be done. After anything else, `end` must follow.
#[inline(always)]
pub fn begin(number: u32) -> P<Guest> {
    if control().idle == 0 && !begin_slowly(number) {
        return P::NONE;
    }
    let guest = guests::get(number);
    if !guest.is_none() {
        control().idle = 0;
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
    if control().idle == 0 {
        if control().in_host != 0 || !IS_READY.get() {
            return false;
        }
        recover_now();
    }
    control().idle = 0;
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
    start_or_recover();
    control().idle != 0
}

/// Make operations possible: at first by the host, who may fail; after a trap by putting everything right.
#[inline(never)]
pub fn start_or_recover() {
    if IS_READY.get() {
        recover_now();
    } else {
        host::start();
    }
}

/// Have a heap, before the host has begun; a trap may have struck when it tried before.
pub fn prepare() {
    if !heap::start() {
        recover_now();
        control().idle = 0;
        fence();
    }
}

/// The host has begun.
pub fn ready() {
    fence();
    IS_READY.set(true);
    control().idle = 1;
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
    control().idle = 1;
}

/// Put everything right after a trap.
#[inline(never)]
fn recover_now() {
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
    control().idle = 1;
    fence();
}
