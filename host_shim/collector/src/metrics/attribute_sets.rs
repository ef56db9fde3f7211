//! Sets of attributes to measure with, registered.

use super::{Meter, lists, some_meter};
use crate::control::limits;
use crate::guests::{self, Guest};
use crate::heap;
use crate::intern;
use crate::memory::{P, move_bytes};
use crate::operation;
use crate::packed;
use crate::ranges;
use crate::rejections::{KEPT_BYTES, reject};

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
