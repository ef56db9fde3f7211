//! Measurements: each goes into the cell of its instrument and attribute set.

use super::cells::prepare;
use super::histograms::{count, placed, quick_histogram, scale, summarize};
use super::records::pass_on;
use super::{
    BUCKETS, COUNTS, IS_FLOAT, Instrument, LAST, Number, RAW, SCALED, SUM, VALUE, instrument_at, meter_of,
    wait_for_host,
};
use crate::buckets::explicit;
use crate::control::control;
use crate::guests::{self, Guest};
use crate::memory::{P, fence, r32, w32};
use crate::operation;
use crate::rejections::{ATTRIBUTE_SET, INSTRUMENT, MEASUREMENT, reject, reject_number};

/// Record a whole number.
#[unsafe(no_mangle)]
extern "C" fn measure_i64(guest: u32, number: u32, value: i64, set: u32) {
    let Some((mut of, known, cell)) = touched(guest, number, set) else {
        return measure_i64_slowly(guest, number, value, set);
    };
    if value < 0 && known.is_monotonic != 0 {
        return reject(of, MEASUREMENT);
    }
    // No trap can strike in what follows: there is no operation to begin.
    match known.shape {
        SUM => add_i64(cell, value),
        VALUE => set_bits(cell, value as u64),
        SUM_F64 => add_f64(cell, value as f64),
        VALUE_F64 => set_bits(cell, (value as f64).to_bits()),
        _ if quick_histogram(known, cell, value as f64, placed(known, value)) => {}
        _ => return measure_i64_slowly(guest, number, value, set),
    }
    of.measurements += 1;
}

/// Record a number.
#[unsafe(no_mangle)]
extern "C" fn measure_f64(guest: u32, number: u32, value: f64, set: u32) {
    let Some((mut of, known, cell)) = touched(guest, number, set) else {
        return measure_f64_slowly(guest, number, value, set);
    };
    if !is_usable(known, value) {
        return reject(of, MEASUREMENT);
    }
    match known.shape {
        SUM_F64 => add_f64(cell, value),
        VALUE_F64 => set_bits(cell, value.to_bits()),
        _ if quick_histogram(known, cell, value, value) => {}
        _ => return measure_f64_slowly(guest, number, value, set),
    }
    of.measurements += 1;
}

const SUM_F64: u32 = SUM | IS_FLOAT;
const VALUE_F64: u32 = VALUE | IS_FLOAT;

/// Find the cell of a measurement, as nearly all are: everything is known, and the cell is touched.
#[inline(always)]
fn touched(guest: u32, number: u32, set: u32) -> Option<(P<Guest>, P<Instrument>, u32)> {
    if control().idle == 0 || guest >= guests::count() {
        return None;
    }
    let of = guests::get(guest);
    if number.wrapping_sub(1) >= of.instruments_count {
        return None;
    }
    let known = instrument_at(of, number);
    let cell = touched_cell(known, set);
    if cell == 0 { None } else { Some((of, known, cell)) }
}

/// The cell of a set, if it is touched already, else 0.
#[inline(always)]
fn touched_cell(known: P<Instrument>, set: u32) -> u32 {
    // Where there is a cell, the set is known.
    if set < known.cells_cap {
        let cell = r32(known.cells + set * 4);
        if cell != 0 && r32(cell) != 0 {
            return cell;
        }
    }
    0
}

#[inline(always)]
fn is_usable(known: P<Instrument>, value: f64) -> bool {
    value.is_finite() && known.is_float() != 0 && (value >= 0.0 || known.is_monotonic == 0)
}

#[inline(always)]
fn add_i64(cell: u32, value: i64) {
    let mut number: P<Number> = P::at(cell);
    let sum = number.bits.wrapping_add(value as u64);
    let carry = (sum < number.bits) as u64;
    number.bits = sum;
    number.high = number.high.wrapping_add((value >> 63) as u64).wrapping_add(carry);
}

#[inline(always)]
fn add_f64(cell: u32, value: f64) {
    let mut number: P<Number> = P::at(cell);
    number.bits = (f64::from_bits(number.bits) + value).to_bits();
}

#[inline(always)]
fn set_bits(cell: u32, bits: u64) {
    let mut number: P<Number> = P::at(cell);
    number.bits = bits;
}

#[inline(never)]
fn measure_i64_slowly(guest: u32, number: u32, value: i64, set: u32) {
    let of = operation::begin_record(guest);
    if of.is_none() {
        return;
    }
    if let Some(known) = find(of, number) {
        if value < 0 && known.is_monotonic != 0 {
            reject(of, MEASUREMENT);
        } else {
            let near = value as f64;
            let bits = if known.is_float() != 0 { near.to_bits() } else { value as u64 };
            measure(of, known, number, set, near, placed(known, value), bits);
        }
    }
    operation::end();
}

#[inline(never)]
fn measure_f64_slowly(guest: u32, number: u32, value: f64, set: u32) {
    let of = operation::begin_record(guest);
    if of.is_none() {
        return;
    }
    if let Some(known) = find(of, number) {
        if is_usable(known, value) {
            measure(of, known, number, set, value, value, value.to_bits());
        } else {
            reject(of, MEASUREMENT);
        }
    }
    operation::end();
}

/// Find an instrument. None if it is unknown, which is counted, or number 0, which stands for a registration that failed.
fn find(guest: P<Guest>, number: u32) -> Option<P<Instrument>> {
    if number.wrapping_sub(1) < guest.instruments_count {
        return Some(instrument_at(guest, number));
    }
    if number != 0 {
        reject_number(guest, INSTRUMENT, i64::from(number));
    }
    None
}

/// Measure in any case. `bits` are those of the i64 or f64, as the instrument has them.
#[inline(never)]
fn measure(guest: P<Guest>, known: P<Instrument>, number: u32, set: u32, value: f64, placed: f64, bits: u64) {
    let mut set = set;
    if set > meter_of(guest).lists.count {
        reject_number(guest, ATTRIBUTE_SET, i64::from(set));
        set = 0;
    }
    if known.cells_are() == RAW {
        return pass_on(guest, known, number, set, bits);
    }
    let mut cell = touched_cell(known, set);
    if cell == 0 {
        cell = prepare(guest, known, number, set);
        if cell == 0 {
            return;
        }
    }
    match known.cells_are() {
        BUCKETS => {
            let bucket = cell + COUNTS + explicit(known.bounds, known.bounds_count, placed) * 8;
            fence();
            count(bucket);
            summarize(cell, value);
        }
        SCALED => {
            if !scale(guest, cell, value, placed) {
                return;
            }
        }
        SUM if known.is_float() == 0 => add_i64(cell, bits as i64),
        SUM => add_f64(cell, value),
        _ => set_bits(cell, bits),
    }
    touch(guest, cell);
}

/// Count a measurement that has just been made, and put its cell on the list.
#[inline(always)]
fn touch(mut guest: P<Guest>, cell: u32) {
    guest.measurements += 1;
    if r32(cell) == 0 {
        let mut meter = meter_of(guest);
        w32(cell, LAST);
        if meter.touched == LAST {
            meter.touched = cell;
        } else {
            w32(meter.last_touched, cell);
        }
        meter.last_touched = cell;
        wait_for_host(meter);
    }
    operation::commit();
}
