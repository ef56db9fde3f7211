//! Instruments, attribute sets and what was measured with them since the host last took it.
//!
//! A measurement goes into the cell of its instrument and attribute set. `drain` gives the host a record of each cell
//! that was touched, and the cell begins anew. A measurement is in or not, whenever a trap strikes: it is made by
//! stores with no loop and no call between them. A cell that is not touched holds nothing that counts; it is cleared
//! when it is next used, because clearing takes a loop.

use crate::buckets::{
    AFTER_BOUNDS, DEFAULT_BOUNDS, DEFAULT_COUNT, DOUBTFUL, FEW, MAX_SCALE, explicit, explicit_few, exponential,
    exponential_quick,
};
use crate::control::{EXPONENTIAL, RAW_HISTOGRAMS, control, limits};
use crate::exports::descriptor;
use crate::guests::{self, Guest};
use crate::heap;
use crate::host;
use crate::intern::{self, Interned};
use crate::memory::{P, Var, fence, fill, move_bytes, r8, r16, r32, r64, w8, w32, w64};
use crate::operation;
use crate::packed;
use crate::ranges;
use crate::rejections::{
    ATTRIBUTE_SET, BUFFER_FULL, DESCRIPTOR, INSTRUMENT, INSTRUMENT_COUNT, KEPT_BYTES, MEASUREMENT, UTF8, reject,
    reject_number,
};
use crate::text;

/// The ABI's kinds of instruments that are told apart here; up-down counters are the fourth.
const COUNTER: u32 = 1;
const HISTOGRAM: u32 = 3;
const GAUGE: u32 = 4;

/// All that a guest registered, and measured since the host took it.
#[repr(C)]
struct Meter {
    /// For so many instruments there is room; the guest says where.
    instruments_cap: u32,
    /// The first cell of those that were touched, or LAST.
    touched: u32,
    /// The last of them, if there are any.
    last_touched: u32,
    /// Whether control.metrics_dirty counts this guest.
    is_waiting: u32,
    /// The attribute set for all those beyond the limit; 0 while there are none.
    overflow: u32,
    _free: u32,
    /// Memory that the cells take.
    cell_bytes: u64,
    /// Their descriptors. An entry's kind is `key_of` the instrument's, its value 1 when the host has been given it.
    descriptors: Interned,
    /// The attribute lists of the sets. The value is the same.
    lists: Interned,
}

const METER_BYTES: u32 = core::mem::size_of::<Meter>() as u32;

#[repr(C)]
struct Instrument {
    /// Addresses of its cells by attribute set; 0 is none.
    cells: u32,
    cells_cap: u32,
    /// Of histograms with explicit boundaries: these, and AFTER_BOUNDS infinities.
    bounds: u32,
    bounds_count: u32,
    /// What its cells are, and IS_FLOAT.
    shape: u32,
    is_monotonic: u32,
    _free: [u32; 2],
}

const INSTRUMENT_BYTES: u32 = core::mem::size_of::<Instrument>() as u32;

/// What the cells of an instrument are.
const SUM: u32 = 0;
const VALUE: u32 = 2;
const BUCKETS: u32 = 4;
const SCALED: u32 = 6;
/// There are none: measurements are passed on one by one.
const RAW: u32 = 8;
const IS_FLOAT: u32 = 1;

impl Instrument {
    #[inline(always)]
    fn cells_are(&self) -> u32 {
        self.shape & !IS_FLOAT
    }

    #[inline(always)]
    fn is_float(&self) -> u32 {
        self.shape & IS_FLOAT
    }
}

/// What was measured with an instrument and a set: of shape SUM or VALUE.
#[repr(C)]
struct Number {
    /// The next touched cell, or LAST; 0 if this one is not touched.
    next: u32,
    instrument: u32,
    set: u32,
    _free: u32,
    /// The f64, the i64 of a gauge, or the low half of a sum of i64.
    bits: u64,
    /// The high half, so that no sum is too large.
    high: u64,
}

/// Of shape BUCKETS (then the counts begin at `zeros`) or SCALED.
#[repr(C)]
struct Histogram {
    next: u32,
    instrument: u32,
    set: u32,
    /// The index whose bucket lies first in the ring.
    base: i32,
    sum: f64,
    least: f64,
    most: f64,
    zeros: u64,
    /// A ring of counts, one for each index from `low` to `high`; `high` is less while there are none.
    ring: u32,
    /// How many bits of the index at the largest scale are dropped.
    shift: u32,
    low: i32,
    high: i32,
}

const NUMBER_BYTES: u32 = core::mem::size_of::<Number>() as u32;
const HISTOGRAM_BYTES: u32 = core::mem::size_of::<Histogram>() as u32;
const COUNTS: u32 = core::mem::offset_of!(Histogram, zeros) as u32;
/// Ends the list of touched cells.
const LAST: u32 = 1;
/// The cells of a guest may take as much as what it registers, and this at least.
const LEAST_CELL_BYTES: u64 = 1 << 20;
/// An attribute list of this length means the overflow set to the host.
const IS_OVERFLOW: u32 = 0xffff_ffff;
const LEAST_BUFFER: u32 = 4096;

/// The ring that the next change of scale writes into; then it takes the place of the old one.
static SPARE: Var<u32> = Var::new(0);

#[inline(always)]
fn meter_of(guest: P<Guest>) -> P<Meter> {
    P::at(guest.meter)
}

/// An instrument by its number, which begin with 1.
#[inline(always)]
fn instrument_at(guest: P<Guest>, number: u32) -> P<Instrument> {
    P::at(guest.instruments + (number - 1) * INSTRUMENT_BYTES)
}

/// How many buckets an exponential histogram has at most.
#[inline(always)]
fn ring_size() -> u32 {
    control().exponential_max_size.clamp(2, 16_384)
}

// Measurements.

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

/// The number that decides on the bucket: of a whole one, the nearest f64 that is not below it, so that it is above the
/// same boundaries.
#[inline(always)]
fn placed(known: P<Instrument>, value: i64) -> f64 {
    let near = value as f64;
    if known.is_float() == 0 && (near as i64) < value { f64::from_bits(near.to_bits() + 1) } else { near }
}

/// Record in a histogram, if that takes no loop and no call; else nothing is done.
#[inline(always)]
fn quick_histogram(known: P<Instrument>, cell: u32, value: f64, placed: f64) -> bool {
    if known.cells_are() == BUCKETS {
        if known.bounds_count > FEW {
            return false;
        }
        count(cell + COUNTS + explicit_few(known.bounds, known.bounds_count, placed) * 8);
        summarize(cell, value);
        return true;
    }
    if known.cells_are() != SCALED {
        return false;
    }
    let mut histogram: P<Histogram> = P::at(cell);
    if placed == 0.0 {
        histogram.zeros += 1;
        summarize(cell, value);
        return true;
    }
    let exact = exponential_quick(placed);
    let index = exact >> histogram.shift;
    if exact == DOUBTFUL || index < histogram.low || index > histogram.high {
        return false;
    }
    count(histogram.ring + ring_slot(index, histogram.base) * 8);
    summarize(cell, value);
    true
}

#[inline(always)]
fn count(bucket: u32) {
    w64(bucket, r64(bucket) + 1);
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

#[inline(always)]
fn wait_for_host(mut meter: P<Meter>) {
    control().metrics_dirty += 1 - meter.is_waiting;
    meter.is_waiting = 1;
}

#[inline(always)]
fn summarize(cell: u32, value: f64) {
    let mut cell: P<Histogram> = P::at(cell);
    cell.sum += value;
    cell.least = if value < cell.least { value } else { cell.least };
    cell.most = if value > cell.most { value } else { cell.most };
}

/// Record in an exponential histogram; false and counted if there is no room for a change of scale.
#[inline(always)]
fn scale(guest: P<Guest>, cell: u32, value: f64, placed: f64) -> bool {
    let mut histogram: P<Histogram> = P::at(cell);
    if placed == 0.0 {
        histogram.zeros += 1;
        summarize(cell, value);
        return true;
    }
    let exact = exponential(placed);
    let mut index = exact >> histogram.shift;
    let is_new = histogram.high < histogram.low;
    let mut low = if is_new || index < histogram.low { index } else { histogram.low };
    let mut high = if is_new || index > histogram.high { index } else { histogram.high };
    if (high - low) as u32 >= ring_size() {
        let more = change_scale(cell, low, high);
        if more == 0 {
            reject(guest, KEPT_BYTES);
            return false;
        }
        low >>= more;
        high >>= more;
        index = exact >> histogram.shift;
    }
    let base = if is_new { index } else { histogram.base };
    let slot = histogram.ring + ring_slot(index, base) * 8;
    fence();
    histogram.base = base;
    histogram.low = low;
    histogram.high = high;
    count(slot);
    summarize(cell, value);
    true
}

#[inline(always)]
fn ring_slot(index: i32, base: i32) -> u32 {
    let distance = index - base;
    if distance < 0 { (distance + ring_size() as i32) as u32 } else { distance as u32 }
}

/// Lower the scale of a histogram so far that two indices fit in; gives by how much, or 0 if there is no memory.
#[inline(never)]
fn change_scale(cell: u32, low: i32, high: i32) -> u32 {
    let bytes = ring_size() * 8;
    if SPARE.get() == 0 {
        SPARE.set(heap::alloc(bytes));
        if SPARE.get() == 0 {
            return 0;
        }
    }
    let mut more = 0;
    while ((high >> more) - (low >> more)) as u32 >= ring_size() {
        more += 1;
    }
    let mut histogram: P<Histogram> = P::at(cell);
    let (ring, spare) = (histogram.ring, SPARE.get());
    fill(spare, bytes);
    let base = histogram.low >> more;
    let mut index = histogram.low;
    while index <= histogram.high {
        let to = spare + ((index >> more) - base) as u32 * 8;
        w64(to, r64(to) + r64(ring + ring_slot(index, histogram.base) * 8));
        index += 1;
    }
    fence();
    histogram.ring = spare;
    histogram.shift += more;
    histogram.low = base;
    histogram.high >>= more;
    histogram.base = base;
    SPARE.set(ring);
    more
}

// Cells.

/// Make a cell, or clear one that is not touched. Gives 0 and counts if there is no room.
#[inline(never)]
fn prepare(guest: P<Guest>, known: P<Instrument>, number: u32, set: u32) -> u32 {
    let cell = cell_at(guest, known, number, set);
    if cell == 0 {
        reject(guest, KEPT_BYTES);
    } else {
        clear(known, cell);
    }
    cell
}

fn cell_at(guest: P<Guest>, mut known: P<Instrument>, number: u32, set: u32) -> u32 {
    let meter = meter_of(guest);
    if set >= known.cells_cap {
        let mut cap = 16;
        while cap <= set {
            cap *= 2;
        }
        let cells = take(meter, cap * 4);
        if cells == 0 {
            return 0;
        }
        fill(cells, cap * 4);
        let (old, old_cap) = (known.cells, known.cells_cap);
        move_bytes(cells, old, old_cap * 4);
        fence();
        known.cells = cells;
        known.cells_cap = cap;
        fence();
        give_back(meter, old, old_cap * 4);
    }
    let place = known.cells + set * 4;
    if r32(place) != 0 {
        return r32(place);
    }
    let cell = take(meter, cell_bytes(known));
    if cell == 0 {
        return 0;
    }
    let mut ring = 0;
    if known.cells_are() == SCALED {
        ring = take(meter, ring_size() * 8);
        if ring == 0 {
            give_back(meter, cell, cell_bytes(known));
            return 0;
        }
    }
    w32(cell, 0);
    w32(cell + 4, number);
    w32(cell + 8, set);
    if ring != 0 {
        let mut histogram: P<Histogram> = P::at(cell);
        histogram.ring = ring;
    }
    fence();
    w32(place, cell);
    cell
}

fn cell_bytes(known: P<Instrument>) -> u32 {
    match known.cells_are() {
        BUCKETS => COUNTS + (known.bounds_count + 1) * 8,
        SCALED => HISTOGRAM_BYTES,
        _ => NUMBER_BYTES,
    }
}

fn clear(known: P<Instrument>, cell: u32) {
    if known.cells_are() <= VALUE {
        let mut number: P<Number> = P::at(cell);
        number.bits = 0;
        number.high = 0;
        return;
    }
    let mut histogram: P<Histogram> = P::at(cell);
    histogram.sum = 0.0;
    histogram.least = f64::INFINITY;
    histogram.most = f64::NEG_INFINITY;
    if known.cells_are() == BUCKETS {
        fill(cell + COUNTS, (known.bounds_count + 1) * 8);
        return;
    }
    histogram.zeros = 0;
    histogram.low = 0;
    histogram.high = -1;
    histogram.shift = (MAX_SCALE as i32 - control().exponential_max_scale.clamp(-10, MAX_SCALE as i32)) as u32;
    fill(histogram.ring, ring_size() * 8);
}

fn take(mut meter: P<Meter>, bytes: u32) -> u32 {
    let sum = meter.cell_bytes + u64::from(heap::rounded(bytes));
    let limit = u64::from(limits().kept_bytes);
    if sum > limit && sum > LEAST_CELL_BYTES {
        return 0;
    }
    let block = heap::alloc(bytes);
    if block != 0 {
        meter.cell_bytes = sum;
    }
    block
}

fn give_back(mut meter: P<Meter>, block: u32, bytes: u32) {
    if block != 0 {
        meter.cell_bytes -= u64::from(heap::rounded(bytes));
        heap::free(block, bytes);
    }
}

// Registrations.

/// The meter of a guest, made at its first registration; none if there is no memory.
fn some_meter(mut guest: P<Guest>) -> P<Meter> {
    if guest.meter == 0 {
        let block = heap::alloc(METER_BYTES);
        if block == 0 {
            return P::NONE;
        }
        fill(block, METER_BYTES);
        let mut meter: P<Meter> = P::at(block);
        meter.touched = LAST;
        fence();
        guest.meter = block;
        guest.meter_bytes = METER_BYTES;
    }
    meter_of(guest)
}

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

/// Register a set of attributes.
#[unsafe(no_mangle)]
extern "C" fn attribute_set(guest: u32, size: i64) -> u32 {
    let of = operation::begin_record(guest);
    if of.is_none() {
        return 0;
    }
    ranges::begin();
    // The address of an empty list is not read.
    let id = if size == 0 || !ranges::check_list(of, size) {
        0
    } else {
        known_attributes(of, ranges::take(size as u32), size as u32)
    };
    operation::end();
    id
}

fn known_attributes(guest: P<Guest>, data: u32, size: u32) -> u32 {
    let meter = some_meter(guest);
    if meter.is_none() {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    let hash = intern::hash(data, size, 0);
    let known = intern::find(lists(meter), hash, 0, data, size);
    if known != 0 {
        return known;
    }
    let count = meter.lists.count - (meter.overflow != 0) as u32;
    if count >= limits().attribute_sets || !guests::has_room(guest, size) {
        return overflow_set(guest, meter);
    }
    let id = new_set(guest, meter, hash, data, size);
    if id != 0 {
        return id;
    }
    reject(guest, KEPT_BYTES);
    overflow_set(guest, meter)
}

/// Add a set; 0 if there is no memory.
fn new_set(mut guest: P<Guest>, meter: P<Meter>, hash: u32, data: u32, size: u32) -> u32 {
    if !intern::has_room(lists(meter)) {
        return 0;
    }
    let block = heap::alloc(size);
    if block == 0 {
        return 0;
    }
    move_bytes(block, data, size);
    // The host decodes the list as it is. This is for what has to be counted.
    packed::plain(guest, data, size);
    let id = intern::add(lists(meter), hash, 0, block, size, size, 0);
    guest.registered_bytes += u64::from(size);
    operation::commit();
    id
}

/// The set for all those beyond the limit; 0 if there is no memory.
fn overflow_set(guest: P<Guest>, mut meter: P<Meter>) -> u32 {
    if meter.overflow == 0 {
        if !intern::has_room(lists(meter)) {
            reject(guest, KEPT_BYTES);
            return 0;
        }
        // No list has this kind.
        let id = intern::add(lists(meter), 0, 1, 0, 0, 0, 0);
        meter.overflow = id;
    }
    meter.overflow
}

#[inline(always)]
fn descriptors(meter: P<Meter>) -> P<Interned> {
    P::at(&raw const meter.descriptors as u32)
}

#[inline(always)]
fn lists(meter: P<Meter>) -> P<Interned> {
    P::at(&raw const meter.lists as u32)
}

// What the host gets: exporters/wasmscope/delivery/_metric_records.py says how it is laid out.

const TIMES: u32 = 16;
const POINT: u32 = 9;
const NUMBER_SIZE: u32 = POINT + 8 + TIMES;
const WIDE_SIZE: u32 = NUMBER_SIZE + 8;
const SUMMARY: u32 = POINT + 32;
const BUCKETS_SIZE: u32 = SUMMARY + 4 + TIMES;
const SCALED_SIZE: u32 = SUMMARY + 20 + TIMES;

/// Write records of what was measured into the guest's metrics buffer. Gives 1 if there is more, which did not fit: to be
/// called again when the host has taken what is in the buffer.
#[unsafe(no_mangle)]
extern "C" fn drain_metrics(guest: u32) -> u32 {
    let of = operation::begin(guest);
    if of.is_none() {
        return 0;
    }
    let more = if of.meter != 0 { drain(of, meter_of(of)) } else { false };
    operation::end();
    more as u32
}

fn drain(mut guest: P<Guest>, mut meter: P<Meter>) -> bool {
    if guest.metrics_len == 0 && guest.metrics_cap > control().buffer_bytes.max(LEAST_BUFFER) {
        let (old, cap) = (guest.metrics_ptr, guest.metrics_cap);
        guest.metrics_ptr = 0;
        guest.metrics_cap = 0;
        fence();
        heap::free(old, cap);
    }
    let now = host::now();
    while meter.touched != LAST {
        let cell: P<Number> = P::at(meter.touched);
        let known = instrument_at(guest, cell.instrument);
        let need = definitions_size(meter, cell.instrument, cell.set) + record_size(known, cell.0);
        if !has_buffer(guest, need) {
            if guest.metrics_len != 0 {
                return true;
            }
            // There is no memory for even one record.
            reject(guest, BUFFER_FULL);
            drop_first(meter);
            continue;
        }
        let start = guest.metrics_ptr + guest.metrics_len;
        let at = put_definitions(start, meter, cell.instrument, cell.set);
        let end = put_record(at, known, cell.0, now);
        fence();
        guest.metrics_len += end - start;
        announce(meter, cell.instrument, cell.set);
        drop_first(meter);
    }
    control().metrics_dirty -= meter.is_waiting;
    meter.is_waiting = 0;
    false
}

/// The host has the first touched cell, or cannot get it.
#[inline(always)]
fn drop_first(mut meter: P<Meter>) {
    let mut cell: P<Number> = P::at(meter.touched);
    meter.touched = cell.next;
    cell.next = 0;
}

/// Have the metrics buffer hold so many bytes more; false if it may not, or there is no memory.
fn has_buffer(mut guest: P<Guest>, need: u32) -> bool {
    let wanted = u64::from(guest.metrics_len) + u64::from(need);
    if wanted <= u64::from(guest.metrics_cap) {
        return true;
    }
    if guest.metrics_len != 0 && wanted > u64::from(control().buffer_bytes) || wanted > u64::from(heap::MAX_BYTES) {
        return false;
    }
    let wanted = (wanted as u32).max(LEAST_BUFFER);
    let block = heap::alloc(wanted);
    if block == 0 {
        return false;
    }
    let (old, cap) = (guest.metrics_ptr, guest.metrics_cap);
    move_bytes(block, old, guest.metrics_len);
    fence();
    guest.metrics_ptr = block;
    guest.metrics_cap = heap::rounded(wanted);
    fence();
    heap::free(old, cap);
    true
}

/// How many bytes it takes to say what an instrument and a set are, as far as the host does not know.
fn definitions_size(meter: P<Meter>, number: u32, set: u32) -> u32 {
    let instrument = intern::entry(descriptors(meter), number);
    let mut size = if instrument.value == 0 { 11 + instrument.size } else { 0 };
    if set != 0 {
        let list = intern::entry(lists(meter), set);
        size += if list.value == 0 { 9 + list.size } else { 0 };
    }
    size
}

fn put_definitions(to: u32, meter: P<Meter>, number: u32, set: u32) -> u32 {
    let mut to = to;
    let instrument = intern::entry(descriptors(meter), number);
    if instrument.value == 0 {
        w8(to, 1);
        w32(to + 1, number);
        w8(to + 5, instrument.kind / 2);
        w8(to + 6, instrument.kind & 1);
        w32(to + 7, instrument.size);
        move_bytes(to + 11, instrument.data, instrument.size);
        to += 11 + instrument.size;
    }
    if set != 0 {
        let list = intern::entry(lists(meter), set);
        if list.value == 0 {
            w8(to, 2);
            w32(to + 1, set);
            w32(to + 5, if set == meter.overflow { IS_OVERFLOW } else { list.size });
            move_bytes(to + 9, list.data, list.size);
            to += 9 + list.size;
        }
    }
    to
}

/// The host knows the instrument and the set from now on.
#[inline(always)]
fn announce(meter: P<Meter>, number: u32, set: u32) {
    let mut instrument = intern::entry(descriptors(meter), number);
    instrument.value = 1;
    if set != 0 {
        let mut list = intern::entry(lists(meter), set);
        list.value = 1;
    }
}

fn record_size(known: P<Instrument>, cell: u32) -> u32 {
    match known.cells_are() {
        BUCKETS => BUCKETS_SIZE + (known.bounds_count + 1) * 8,
        SCALED => SCALED_SIZE + scaled_count(P::at(cell)) * 8,
        _ => WIDE_SIZE,
    }
}

fn scaled_count(histogram: P<Histogram>) -> u32 {
    (histogram.high - histogram.low + 1) as u32
}

fn put_record(to: u32, known: P<Instrument>, cell: u32, now: u64) -> u32 {
    let end = match known.cells_are() {
        BUCKETS => put_buckets(to, cell, known.bounds_count + 1),
        SCALED => put_scaled(to, P::at(cell)),
        _ => put_number(to, known, P::at(cell)),
    };
    put_times(end, now)
}

fn put_times(to: u32, now: u64) -> u32 {
    w64(to, now);
    w64(to + 8, now);
    to + TIMES
}

fn put_number(to: u32, known: P<Instrument>, cell: P<Number>) -> u32 {
    let is_sum = known.cells_are() == SUM;
    let at = put_point(to, if is_sum { 3 } else { 5 } + known.is_float(), cell.instrument, cell.set);
    w64(at, cell.bits);
    if is_sum && known.is_float() == 0 && cell.high != (cell.bits as i64 >> 63) as u64 {
        w8(to, 11);
        w64(at + 8, cell.high);
        return at + 16;
    }
    at + 8
}

fn put_point(to: u32, tag: u32, number: u32, set: u32) -> u32 {
    w8(to, tag);
    w32(to + 1, number);
    w32(to + 5, set);
    to + POINT
}

/// Write what both kinds of histograms begin with; the count is for the caller to fill in.
fn put_summary(to: u32, tag: u32, cell: u32) -> u32 {
    let histogram: P<Histogram> = P::at(cell);
    let at = put_point(to, tag, histogram.instrument, histogram.set);
    w64(at + 8, histogram.sum.to_bits());
    w64(at + 16, histogram.least.to_bits());
    w64(at + 24, histogram.most.to_bits());
    at + 32
}

fn put_buckets(to: u32, cell: u32, count: u32) -> u32 {
    let at = put_summary(to, 7, cell);
    w32(at, count);
    let mut sum = 0;
    let mut i = 0;
    while i < count {
        let bucket = r64(cell + COUNTS + i * 8);
        w64(at + 4 + i * 8, bucket);
        sum += bucket;
        i += 1;
    }
    w64(to + POINT, sum);
    at + 4 + count * 8
}

fn put_scaled(to: u32, cell: P<Histogram>) -> u32 {
    let at = put_summary(to, 8, cell.0);
    let count = scaled_count(cell);
    w32(at, (MAX_SCALE as i32 - cell.shift as i32) as u32);
    w64(at + 4, cell.zeros);
    w32(at + 12, cell.low as u32);
    w32(at + 16, count);
    let mut sum = cell.zeros;
    let mut i = 0;
    while i < count {
        let bucket = r64(cell.ring + ring_slot(cell.low + i as i32, cell.base) * 8);
        w64(at + 20 + i * 8, bucket);
        sum += bucket;
        i += 1;
    }
    w64(to + POINT, sum);
    at + 20 + count * 8
}

/// Write one measurement of a histogram into the buffer.
#[inline(never)]
fn pass_on(mut guest: P<Guest>, known: P<Instrument>, number: u32, set: u32, bits: u64) {
    let meter = meter_of(guest);
    if !has_buffer(guest, definitions_size(meter, number, set) + NUMBER_SIZE) {
        if guest.metrics_len != 0 {
            host::full(guest.number);
        }
        if !has_buffer(guest, definitions_size(meter, number, set) + NUMBER_SIZE) {
            reject(guest, BUFFER_FULL);
            return;
        }
    }
    let now = host::now();
    let start = guest.metrics_ptr + guest.metrics_len;
    let mut at = put_definitions(start, meter, number, set);
    at = put_point(at, 9 + known.is_float(), number, set);
    w64(at, bits);
    let end = put_times(at + 8, now);
    fence();
    guest.metrics_len += end - start;
    announce(meter, number, set);
    guest.measurements += 1;
    wait_for_host(meter);
    operation::commit();
}

// After a trap.

/// Mark the blocks of a guest's meter.
pub fn mark(guest: P<Guest>) {
    if guest.meter == 0 {
        return;
    }
    let mut meter = meter_of(guest);
    heap::mark(guest.meter, METER_BYTES);
    heap::mark(guest.instruments, meter.instruments_cap * INSTRUMENT_BYTES);
    heap::mark(SPARE.get(), ring_size() * 8);
    intern::mark(descriptors(meter));
    intern::mark(lists(meter));
    meter.cell_bytes = 0;
    let mut number = 1;
    while number <= guest.instruments_count {
        let known = instrument_at(guest, number);
        mark_cells(meter, known.cells, known.cells_cap * 4);
        let mut set = 0;
        while set < known.cells_cap {
            let cell = r32(known.cells + set * 4);
            if cell != 0 {
                mark_cells(meter, cell, cell_bytes(known));
                if known.cells_are() == SCALED {
                    let histogram: P<Histogram> = P::at(cell);
                    mark_cells(meter, histogram.ring, ring_size() * 8);
                }
            }
            set += 1;
        }
        number += 1;
    }
}

fn mark_cells(mut meter: P<Meter>, block: u32, bytes: u32) {
    if block != 0 {
        heap::mark(block, bytes);
        meter.cell_bytes += u64::from(heap::rounded(bytes));
    }
}

/// When the heap is in order again: work out what follows from other things, and add to `registered_bytes` what the
/// instruments and sets have.
pub fn recover(mut guest: P<Guest>) {
    if guest.meter == 0 {
        return;
    }
    let mut meter = meter_of(guest);
    intern::recover(descriptors(meter));
    intern::recover(lists(meter));
    guest.registered_bytes += intern::bytes(descriptors(meter)) + intern::bytes(lists(meter));
    // The set for those beyond the limit was added last, if the trap struck before it was noted.
    let count = meter.lists.count;
    if meter.overflow == 0 && count != 0 && intern::entry(lists(meter), count).kind == 1 {
        meter.overflow = count;
    }
}
