//! Instruments, sets of attributes and measurements.

use crate::guests::Guest;
use crate::memory::P;

#[unsafe(no_mangle)]
extern "C" fn instrument(_guest: u32, _kind: u32, _number: u32, _size: i64) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn attribute_set(_guest: u32, _size: i64) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn measure_i64(_guest: u32, _instrument: u32, _value: i64, _set: u32) {}

#[unsafe(no_mangle)]
extern "C" fn measure_f64(_guest: u32, _instrument: u32, _value: f64, _set: u32) {}

#[unsafe(no_mangle)]
extern "C" fn drain_metrics(_guest: u32) {}

/// After a trap: mark the blocks of a guest's meter.
pub fn mark(_guest: P<Guest>) {}

/// After a trap, when the heap is in order again: work out what follows from other things, and add to
/// `registered_bytes` what its instruments and sets have.
pub fn recover(_guest: P<Guest>) {}
