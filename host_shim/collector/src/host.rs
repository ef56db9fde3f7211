//! What the collector asks of the host: to take what is ready, to decide, and the time.

use crate::control::{Root, SAME_STATE, control};
use crate::heap;
use crate::memory::{P, Var, fence};
use crate::tracestates;

const FULL: u32 = 1;
const ROOT: u32 = 2;
const AMBIENT: u32 = 3;
const START: u32 = 5;
const REALTIME: u32 = 0;

mod imported {
    #[link(wasm_import_module = "host")]
    unsafe extern "C" {
        pub fn call(op: u32, guest: u32) -> i64;
    }

    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn clock_time_get(clock: u32, precision: u64, time: u32) -> u32;
    }
}

#[inline(never)]
fn call(op: u32, guest: u32) {
    control().in_host = 1;
    fence();
    unsafe { imported::call(op, guest) };
    fence();
    control().in_host = 0;
    CLOCK_USES.set(0);
}

/// Have the host write its configuration and begin, which calls back.
pub fn start() {
    fence();
    unsafe { imported::call(START, 0) };
    fence();
}

/// Have the host take what waits in all buffers.
pub fn full(guest: u32) {
    call(FULL, guest);
}

/// Ask whether to keep the span that is described in CONTROL.
pub fn root(guest: u32) {
    begin_extra();
    call(ROOT, guest);
}

/// Have OpenTelemetry's current context written into the frame.
pub fn ambient(guest: u32) {
    begin_extra();
    call(AMBIENT, guest);
    let mut control = control();
    control.frame.tracestate = tracestate(0, 0);
}

/// Room for what the host answers with: the sampler's attributes, and the text of a trace state behind them.
const EXTRA_BYTES: u32 = 8_192;
const SLACK: u32 = 64;

fn begin_extra() {
    let mut root = P::<Root>::at(&raw const control().root as u32);
    root.state_len = SAME_STATE;
    if root.extra_ptr == 0 {
        root.extra_ptr = heap::alloc(EXTRA_BYTES);
        root.extra_cap = if root.extra_ptr == 0 { 0 } else { EXTRA_BYTES - SLACK };
    }
}

/// The trace state that the host has answered with, behind so many bytes of attributes; another one if with none.
pub fn tracestate(extra_len: u32, otherwise: u32) -> u32 {
    let root = P::<Root>::at(&raw const control().root as u32);
    if root.state_len > root.extra_cap - extra_len {
        return otherwise;
    }
    tracestates::keep(root.extra_ptr + extra_len, root.state_len)
}

/// After a trap: mark the block.
pub fn mark() {
    heap::mark(control().root.extra_ptr, EXTRA_BYTES);
}

static CLOCK: Var<u64> = Var::new(0);
static CLOCK_USES: Var<u32> = Var::new(0);
static CLOCK_FRAME: Var<u64> = Var::new(0);

/// The time, in ns since 1970. One reading serves several times if the host allows, but not those of two calls.
#[inline(always)]
pub fn now() -> u64 {
    let uses = CLOCK_USES.get();
    if uses != 0 && CLOCK_FRAME.get() == control().frame_id {
        CLOCK_USES.set(uses - 1);
    } else {
        // Where it fails, the time stands still.
        unsafe { imported::clock_time_get(REALTIME, 1, CLOCK.address()) };
        CLOCK_USES.set(control().clock_uses);
        CLOCK_FRAME.set(control().frame_id);
    }
    CLOCK.get()
}
