//! What the host gets of measurements: exporters/wasmscope/delivery/_metric_records.py says how it is laid out.

use super::histograms::ring_slot;
use super::{
    BUCKETS, COUNTS, Histogram, Instrument, LAST, Meter, Number, SCALED, SUM, descriptors, instrument_at, lists,
    meter_of, wait_for_host,
};
use crate::buckets::MAX_SCALE;
use crate::control::control;
use crate::guests::Guest;
use crate::heap;
use crate::host;
use crate::intern;
use crate::memory::{P, fence, move_bytes, r64, w8, w32, w64};
use crate::operation;
use crate::rejections::{BUFFER_FULL, reject};

/// An attribute list of this length means the overflow set to the host.
const IS_OVERFLOW: u32 = 0xffff_ffff;
const LEAST_BUFFER: u32 = 4096;

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
pub fn pass_on(mut guest: P<Guest>, known: P<Instrument>, number: u32, set: u32, bits: u64) {
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
