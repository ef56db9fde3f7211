//! Cells: the memory for what was measured with an instrument and a set.

use super::histograms::ring_size;
use super::{BUCKETS, COUNTS, Histogram, Instrument, Meter, Number, SCALED, VALUE, meter_of};
use crate::buckets::MAX_SCALE;
use crate::control::{control, limits};
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, fence, fill, move_bytes, r32, w32};
use crate::rejections::{KEPT_BYTES, reject};

const NUMBER_BYTES: u32 = core::mem::size_of::<Number>() as u32;
const HISTOGRAM_BYTES: u32 = core::mem::size_of::<Histogram>() as u32;
/// The cells of a guest may take as much as what it registers, and this at least.
const LEAST_CELL_BYTES: u64 = 1 << 20;

/// Make a cell, or clear one that is not touched. Gives 0 and counts if there is no room.
#[inline(never)]
pub fn prepare(guest: P<Guest>, known: P<Instrument>, number: u32, set: u32) -> u32 {
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

pub fn cell_bytes(known: P<Instrument>) -> u32 {
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
