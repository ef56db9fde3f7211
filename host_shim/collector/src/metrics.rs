//! Instruments, attribute sets and what was measured with them since the host last took it.
//!
//! A measurement goes into the cell of its instrument and attribute set. `drain` gives the host a record of each cell
//! that was touched, and the cell begins anew. A measurement is in or not, whenever a trap strikes: it is made by
//! stores with no loop and no call between them. A cell that is not touched holds nothing that counts; it is cleared
//! when it is next used, because clearing takes a loop.

mod attribute_sets;
mod cells;
mod histograms;
mod instruments;
mod measurements;
mod records;

use crate::control::control;
use crate::guests::Guest;
use crate::heap;
use crate::intern::{self, Interned};
use crate::memory::{P, fence, fill, r32};
use cells::cell_bytes;
use histograms::{SPARE, ring_size};

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

const COUNTS: u32 = core::mem::offset_of!(Histogram, zeros) as u32;
/// Ends the list of touched cells.
const LAST: u32 = 1;

#[inline(always)]
fn meter_of(guest: P<Guest>) -> P<Meter> {
    P::at(guest.meter)
}

/// An instrument by its number, which begin with 1.
#[inline(always)]
fn instrument_at(guest: P<Guest>, number: u32) -> P<Instrument> {
    P::at(guest.instruments + (number - 1) * INSTRUMENT_BYTES)
}

#[inline(always)]
fn descriptors(meter: P<Meter>) -> P<Interned> {
    P::at(&raw const meter.descriptors as u32)
}

#[inline(always)]
fn lists(meter: P<Meter>) -> P<Interned> {
    P::at(&raw const meter.lists as u32)
}

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
    }
    meter_of(guest)
}

#[inline(always)]
fn wait_for_host(mut meter: P<Meter>) {
    control().metrics_dirty += 1 - meter.is_waiting;
    meter.is_waiting = 1;
}

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
