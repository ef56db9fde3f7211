//! Instruments: checked and registered ("Instrument descriptor" in docs/abi.md).

use super::{
    BUCKETS, COUNTER, GAUGE, HISTOGRAM, INSTRUMENT_BYTES, IS_FLOAT, Meter, RAW, SCALED, SUM, VALUE, descriptors,
    instrument_at, meter_of, some_meter,
};
use crate::buckets::{AFTER_BOUNDS, DEFAULT_BOUNDS, DEFAULT_COUNT};
use crate::control::{EXPONENTIAL, RAW_HISTOGRAMS, control, limits};
use crate::exports::descriptor;
use crate::guests::{self, Guest};
use crate::heap;
use crate::intern;
use crate::memory::{P, fence, move_bytes, r8, r16, r64, w64};
use crate::operation;
use crate::rejections::{DESCRIPTOR, INSTRUMENT_COUNT, KEPT_BYTES, UTF8, reject, reject_number};
use crate::text;

/// Register an instrument.
#[unsafe(no_mangle)]
extern "C" fn instrument(guest: u32, kind: u32, number: u32, size: i64) -> u32 {
    let of = operation::begin_record(guest);
    if of.is_none() {
        return 0;
    }
    let id = descriptor(of, size, |of, data, size| known_instrument(of, kind, number, data, size));
    operation::end();
    id
}

fn known_instrument(guest: P<Guest>, kind: u32, number: u32, data: u32, size: u32) -> u32 {
    if kind.wrapping_sub(1) >= GAUGE || number > 1 {
        reject(guest, DESCRIPTOR);
        return 0;
    }
    let key = key_of(kind, number);
    let hash = intern::hash(data, size, key);
    if guest.meter != 0 {
        let known = intern::find(descriptors(meter_of(guest)), hash, key, data, size);
        if known != 0 {
            return known;
        }
    }
    let bounds = check_descriptor(guest, data, size);
    if bounds == 0 {
        reject(guest, DESCRIPTOR);
        return 0;
    }
    if guest.instruments_count >= limits().instruments {
        reject_number(guest, INSTRUMENT_COUNT, i64::from(limits().instruments));
        return 0;
    }
    if !guests::has_room(guest, size) {
        return 0;
    }
    let id = new_instrument(guest, key, hash, data, size, bounds);
    if id == 0 {
        reject(guest, KEPT_BYTES);
    }
    id
}

/// Add an instrument whose descriptor is good; 0 if there is no memory.
fn new_instrument(mut guest: P<Guest>, key: u32, hash: u32, data: u32, size: u32, bounds: u32) -> u32 {
    let meter = some_meter(guest);
    if meter.is_none() || !intern::has_room(descriptors(meter)) || !has_instrument_room(guest, meter) {
        return 0;
    }
    let count = r16(bounds - 2);
    let (kind, number) = (key / 2, key & 1);
    // The boundaries are aligned, and infinities behind them. They lie behind the descriptor, in the same block.
    let padded = count + AFTER_BOUNDS;
    let bounds_at = (size + 7) & !7;
    let cap = bounds_at + padded * 8;
    let block = heap::alloc(cap);
    if block == 0 {
        return 0;
    }
    move_bytes(block, data, size);
    move_bytes(block + bounds_at, bounds, count * 8);
    let mut i = count;
    while i < padded {
        w64(block + bounds_at + i * 8, f64::INFINITY.to_bits());
        i += 1;
    }
    let mut new = instrument_at(guest, guest.instruments_count + 1);
    new.cells = 0;
    new.cells_cap = 0;
    new.bounds = if count == 0 { DEFAULT_BOUNDS.as_ptr() as u32 } else { block + bounds_at };
    new.bounds_count = if count == 0 { DEFAULT_COUNT } else { count };
    new.is_monotonic = (kind == COUNTER || kind == HISTOGRAM) as u32;
    new.shape = match kind {
        HISTOGRAM if control().flags & RAW_HISTOGRAMS != 0 => RAW,
        HISTOGRAM if count == 0 && control().flags & EXPONENTIAL != 0 => SCALED,
        HISTOGRAM => BUCKETS,
        GAUGE => VALUE,
        _ => SUM,
    } | (number * IS_FLOAT);
    let id = intern::add(descriptors(meter), hash, key, block, size, cap, 0);
    guest.instruments_count = id;
    guest.registered_bytes += u64::from(size);
    operation::commit();
    id
}

fn has_instrument_room(mut guest: P<Guest>, mut meter: P<Meter>) -> bool {
    let count = guest.instruments_count;
    if count < meter.instruments_cap {
        return true;
    }
    let cap = if count == 0 { 16 } else { count * 2 };
    let block = heap::alloc(cap * INSTRUMENT_BYTES);
    if block == 0 {
        return false;
    }
    let old = guest.instruments;
    move_bytes(block, old, count * INSTRUMENT_BYTES);
    fence();
    guest.instruments = block;
    meter.instruments_cap = cap;
    fence();
    heap::free(old, count * INSTRUMENT_BYTES);
    true
}

/// Kind and number type in one.
fn key_of(kind: u32, number: u32) -> u32 {
    kind * 2 + number
}

/// Check an instrument descriptor; gives where its boundaries begin, behind their count, or 0.
fn check_descriptor(guest: P<Guest>, data: u32, size: u32) -> u32 {
    let end = data + size;
    let mut at = data;
    let mut is_good = true;
    let mut which = 0;
    while which < 3 {
        if end - at < 2 {
            return 0;
        }
        let length = r16(at);
        at += 2;
        if end - at < length || length > limits().name {
            return 0;
        }
        if !text::is_utf8(at, length) {
            reject(guest, UTF8);
            is_good &= which == 2;
        }
        // A text that is bad does not keep the others from being read, and counted.
        is_good &= match which {
            0 => is_name(at, length),
            1 => length <= 63 && is_ascii(at, length),
            _ => true,
        };
        at += length;
        which += 1;
    }
    if !is_good || end - at < 2 {
        return 0;
    }
    let count = r16(at);
    at += 2;
    if end - at < count * 8 {
        return 0;
    }
    let mut i = 0;
    let mut before = f64::NEG_INFINITY;
    while i < count {
        let bound = f64::from_bits(r64(at + i * 8));
        // False for NaN, too.
        if !(before < bound && bound < f64::INFINITY) {
            return 0;
        }
        before = bound;
        i += 1;
    }
    at
}

/// Whether text has the syntax of an instrument's name.
fn is_name(at: u32, size: u32) -> bool {
    if size.wrapping_sub(1) >= 255 || !(r8(at) as u8).is_ascii_alphabetic() {
        return false;
    }
    let mut i = 1;
    while i < size {
        let letter = r8(at + i) as u8;
        if !letter.is_ascii_alphanumeric() && !matches!(letter, b'_' | b'.' | b'-' | b'/') {
            return false;
        }
        i += 1;
    }
    true
}

fn is_ascii(at: u32, size: u32) -> bool {
    let mut i = 0;
    while i < size {
        if r8(at + i) >= 0x80 {
            return false;
        }
        i += 1;
    }
    true
}
