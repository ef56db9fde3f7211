//! The collector: takes a guest's telemetry calls and makes OTLP bytes of them. README.md says how it is used.
//!
//! It runs inside the guest's call, and a trap can strike at every function entry, loop head and bulk memory operation
//! (out of fuel, epoch, stack overflow). So what counts is written last, in a few writes with none of these in between;
//! everything else `recovery` works out anew.

#![no_std]

mod buckets;
mod control;
mod guests;
mod heap;
mod host;
mod intern;
mod memory;
mod metrics;
mod operation;
mod packed;
mod ranges;
mod recovery;
mod rejections;
mod sites;
mod text;
mod work;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Get ready. The host has written its configuration into CONTROL; the seed is random.
#[unsafe(no_mangle)]
extern "C" fn init(_s0: u64, _s1: u64, _s2: u64, _s3: u64) {
    heap::start();
    ranges::reserve(8_000);
}

#[unsafe(no_mangle)]
extern "C" fn control() -> u32 {
    control::control().0
}

#[unsafe(no_mangle)]
extern "C" fn recover() {
    operation::recover_now();
}
