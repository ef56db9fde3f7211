//! The buffers of finished records that the host takes.

use crate::control::control;
use crate::guests::{Guest, Output};
use crate::heap;
use crate::host;
use crate::memory::{P, copy_loosely, fence, move_bytes, w8};
use crate::operation;
use crate::protobuf::{self, varint};
use crate::rejections::{BUFFER_FULL, KEPT_BYTES, reject};

/// Buffers start with this, and grow fourfold up to what the host says.
const FIRST: u32 = 4_096;
/// Tag of the records in both buffers: ScopeSpans.spans, ScopeLogs.log_records.
const RECORD: u32 = 0x12;
/// Writers may write so many bytes behind what they write.
const SLACK: u32 = 64;

#[inline(always)]
fn output<const LOGS: bool>(guest: P<Guest>) -> P<Output> {
    P::at(if LOGS { &raw const guest.logs as u32 } else { &raw const guest.spans as u32 })
}

#[inline(always)]
fn capacity<const LOGS: bool>(guest: P<Guest>) -> u32 {
    if LOGS { guest.logs_cap } else { guest.spans_cap }
}

/// Have the oldest record taken if it has waited too long.
#[inline(always)]
pub fn age(guest: P<Guest>, now: u64) {
    let control = control();
    let oldest = control.oldest_ns;
    if oldest != 0 && control.max_age_ns != 0 && now.saturating_sub(oldest) > control.max_age_ns {
        host::full(guest.number);
    }
}

/// Where so many bytes of a record can be written; 0 and counted if nowhere.
#[inline(always)]
pub fn room<const LOGS: bool>(guest: P<Guest>, bytes: u64) -> u32 {
    let out = output::<LOGS>(guest);
    // What is written loosely stays inside, too.
    if bytes + u64::from(SLACK) <= u64::from(capacity::<LOGS>(guest) - out.len) {
        return out.ptr + out.len;
    }
    make_room::<LOGS>(guest, bytes + u64::from(SLACK))
}

#[inline(never)]
fn make_room<const LOGS: bool>(guest: P<Guest>, bytes: u64) -> u32 {
    let out = output::<LOGS>(guest);
    let most = u64::from(control().buffer_bytes);
    let cap = u64::from(capacity::<LOGS>(guest));
    let mut wanted = if cap == 0 { u64::from(FIRST) } else { cap * 4 };
    if wanted > most {
        wanted = most;
    }
    if wanted < u64::from(out.len) + bytes {
        wanted = u64::from(out.len) + bytes;
    }
    if wanted <= most && replace::<LOGS>(guest, wanted) {
        return out.ptr + out.len;
    }
    // It may not grow, or cannot: the host has to take what waits.
    if out.len != 0 {
        host::full(guest.number);
        if bytes <= cap - u64::from(out.len) {
            return out.ptr + out.len;
        }
        if out.len != 0 {
            reject(guest, BUFFER_FULL);
            return 0;
        }
    }
    if replace::<LOGS>(guest, bytes) {
        return out.ptr;
    }
    reject(guest, KEPT_BYTES);
    0
}

/// Have a larger buffer; false if there is no memory.
fn replace<const LOGS: bool>(guest: P<Guest>, bytes: u64) -> bool {
    if bytes > u64::from(heap::MAX_BYTES) {
        return false;
    }
    let bytes = bytes as u32;
    let block = heap::alloc(bytes);
    if block == 0 {
        return false;
    }
    let (mut guest, mut out) = (guest, output::<LOGS>(guest));
    let (old, old_cap) = (out.ptr, capacity::<LOGS>(guest));
    move_bytes(block, old, out.len);
    fence();
    out.ptr = block;
    if LOGS {
        guest.logs_cap = heap::rounded(bytes);
    } else {
        guest.spans_cap = heap::rounded(bytes);
    }
    fence();
    heap::free(old, old_cap);
    true
}

/// Write the head of a record of so many bytes; gives where they go.
#[inline(always)]
pub fn put_head(at: u32, size: u32) -> u32 {
    w8(at, RECORD);
    varint(at + 1, u64::from(size))
}

/// Add a record that has been written where `room` said, up to `end`, with its head. What belongs to the same change is
/// to be written next, with no call or loop in between.
#[inline(always)]
pub fn commit<const LOGS: bool>(guest: P<Guest>, end: u32, time: u64) {
    let (mut guest, mut out, mut control) = (guest, output::<LOGS>(guest), control());
    let size = end - out.ptr - out.len;
    out.len += size;
    out.count += 1;
    guest.bytes += u64::from(size);
    control.out_bytes += size;
    if control.oldest_ns == 0 {
        control.oldest_ns = time;
    }
    operation::commit();
}

/// Add a record that was made elsewhere.
pub fn copy<const LOGS: bool>(guest: P<Guest>, from: u32, size: u32, time: u64) {
    let at = room::<LOGS>(guest, u64::from(size) + 8);
    if at == 0 {
        operation::commit();
        return;
    }
    let to = put_head(at, size);
    copy_loosely(to, from, size);
    let mut guest = guest;
    commit::<LOGS>(guest, to + size, time);
    if LOGS {
        guest.logs_made += 1;
    }
}

/// Write the head of a record that lies from `at + 3` to `end`. Gives where it ends.
#[inline(always)]
pub fn close(at: u32, end: u32) -> u32 {
    protobuf::close(at, RECORD, end)
}
