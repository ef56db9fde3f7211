//! The collector: takes a guest's telemetry calls and makes OTLP bytes of them. README.md says how it is used.
//!
//! It runs inside the guest's call, and a trap can strike at every function entry, loop head and bulk memory operation
//! (out of fuel, epoch, stack overflow). So what counts is written last, in a few writes with none of these in between;
//! everything else `recovery` works out anew.

#![no_std]
// Values behind addresses change by other means than the lint can see; ranges are clearer as they are, and so are shifts
// among other bit operations (a lint of some releases of clippy).
#![allow(clippy::while_immutable_condition, clippy::manual_range_contains, clippy::precedence)]

mod base;
mod buckets;
mod contexts;
mod control;
mod exports;
mod guests;
mod heap;
mod host;
mod ids;
mod intern;
mod logs;
mod memory;
mod metrics;
mod operation;
mod output;
mod packed;
mod protobuf;
mod ranges;
mod recovery;
mod rejections;
mod sites;
mod spans;
mod text;
mod tracestates;
mod work;

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
