//! What is counted in a cell of a histogram.

use super::{BUCKETS, COUNTS, Histogram, Instrument, SCALED};
use crate::buckets::{DOUBTFUL, FEW, explicit_few, exponential, exponential_quick};
use crate::control::control;
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, Var, fence, fill, r64, w64};
use crate::rejections::{KEPT_BYTES, reject};

/// The ring that the next change of scale writes into; then it takes the place of the old one.
pub static SPARE: Var<u32> = Var::new(0);

/// How many buckets an exponential histogram has at most.
#[inline(always)]
pub fn ring_size() -> u32 {
    control().exponential_max_size.clamp(2, 16_384)
}

/// The number that decides on the bucket: of a whole one, the nearest f64 that is not below it, so that it is above the
/// same boundaries.
#[inline(always)]
pub fn placed(known: P<Instrument>, value: i64) -> f64 {
    let near = value as f64;
    if known.is_float() == 0 && (near as i64) < value { f64::from_bits(near.to_bits() + 1) } else { near }
}

/// Record in a histogram, if that takes no loop and no call; else nothing is done.
#[inline(always)]
pub fn quick_histogram(known: P<Instrument>, cell: u32, value: f64, placed: f64) -> bool {
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
pub fn count(bucket: u32) {
    w64(bucket, r64(bucket) + 1);
}

#[inline(always)]
pub fn summarize(cell: u32, value: f64) {
    let mut cell: P<Histogram> = P::at(cell);
    cell.sum += value;
    cell.least = if value < cell.least { value } else { cell.least };
    cell.most = if value > cell.most { value } else { cell.most };
}

/// Record in an exponential histogram; false and counted if there is no room for a change of scale.
#[inline(always)]
pub fn scale(guest: P<Guest>, cell: u32, value: f64, placed: f64) -> bool {
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
pub fn ring_slot(index: i32, base: i32) -> u32 {
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
