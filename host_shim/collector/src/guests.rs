//! What the collector knows of each guest in its store.

use crate::control::limits;
use crate::heap;
use crate::intern::Interned;
use crate::memory::{P, Var, fill, move_bytes, r32, w32};
use crate::packed::Bloom;
use crate::rejections::{KEPT_BYTES, reject_number};

/// One guest. The host reads the first 384 bytes; README.md has the table.
#[repr(C)]
pub struct Guest {
    pub spans: Output,
    pub logs: Output,
    pub metrics_ptr: u32,
    pub metrics_len: u32,
    pub spans_started: u64,
    pub spans_unsampled: u64,
    pub spans_ended: u64,
    pub logs_made: u64,
    pub measurements: u64,
    pub bytes: u64,
    pub metrics_cap: u32,
    pub spans_cap: u32,
    pub logs_cap: u32,
    pub number: u32,
    pub has_memory: u32,
    /// Block of the instruments and attribute sets, in the hands of metrics.rs; 0 until there are some.
    pub meter: u32,
    /// Its instruments, and how many they are: also in the hands of metrics.rs, here because it is nearer.
    pub instruments: u32,
    pub instruments_count: u32,
    _free: [u32; 4],
    pub rejections: [u32; 64],
    // From 384 on, the collector's own.
    /// Bytes registered by the guest, and held by its open spans: together at most limits.kept_bytes.
    pub registered_bytes: u64,
    pub kept_bytes: u64,
    /// Bytes of memory that its open spans take.
    pub held_bytes: u64,
    /// What the host puts on each record: encoded attributes, a block.
    pub base: Fixed,
    /// Call sites by descriptor; the value is the address of the site.
    pub sites: Interned,
    // Spans.
    pub segments: u32,
    pub segments_cap: u32,
    pub segments_made: u32,
    /// How many slots were ever used.
    pub slots: u32,
    pub open: u32,
    pub first_open: u32,
    pub last_open: u32,
    /// Ended spans in the order of their ends, to be used again from the first on.
    pub first_ended: u32,
    pub last_ended: u32,
    pub ended_waiting: u32,
    /// Remote contexts: a ring.
    pub remote: u32,
    pub remote_cap: u32,
    pub ends: u64,
    pub remotes: u64,
}

/// What the host takes; it writes 0 to both lengths when it did.
#[repr(C)]
pub struct Output {
    pub ptr: u32,
    pub len: u32,
    pub count: u32,
}

/// Encoded attributes that many records have: KeyValues, each with its tag and length before it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Fixed {
    pub ptr: u32,
    pub len: u32,
    pub count: u32,
    /// Of the block at ptr.
    pub cap: u32,
    pub bloom: Bloom,
}

const _: () = {
    assert!(core::mem::offset_of!(Guest, metrics_ptr) == 24);
    assert!(core::mem::offset_of!(Guest, spans_started) == 32);
    assert!(core::mem::offset_of!(Guest, bytes) == 72);
    assert!(core::mem::offset_of!(Guest, rejections) == 128);
    assert!(core::mem::offset_of!(Guest, registered_bytes) == 384);
};

pub const GUEST_BYTES: u32 = core::mem::size_of::<Guest>() as u32;
const MAX_GUESTS: u32 = 65_536;

static TABLE: Var<u32> = Var::new(0);
static CAPACITY: Var<u32> = Var::new(0);
static COUNT: Var<u32> = Var::new(0);

#[inline(always)]
pub fn count() -> u32 {
    COUNT.get()
}

/// Find a guest by its number.
#[inline(always)]
pub fn get(number: u32) -> P<Guest> {
    if number < COUNT.get() { P::at(r32(TABLE.get() + number * 4)) } else { P::NONE }
}

/// Make a guest; none if there is no room.
pub fn add(has_memory: bool) -> P<Guest> {
    let number = COUNT.get();
    if number == CAPACITY.get() {
        let capacity = if number == 0 { 16 } else { number * 2 };
        if capacity > MAX_GUESTS {
            return P::NONE;
        }
        let table = heap::alloc(capacity * 4);
        if table == 0 {
            return P::NONE;
        }
        let old = TABLE.get();
        move_bytes(table, old, number * 4);
        TABLE.set(table);
        CAPACITY.set(capacity);
        heap::free(old, number * 4);
    }
    let block = heap::alloc(GUEST_BYTES);
    if block == 0 {
        return P::NONE;
    }
    fill(block, GUEST_BYTES);
    let mut guest: P<Guest> = P::at(block);
    guest.number = number;
    guest.has_memory = has_memory as u32;
    w32(TABLE.get() + number * 4, block);
    COUNT.set(number + 1);
    guest
}

/// Whether a guest may have so many bytes more registered or held; counts the refusal.
#[inline(always)]
pub fn has_room(guest: P<Guest>, size: u32) -> bool {
    if guest.registered_bytes + guest.kept_bytes + u64::from(size) <= u64::from(limits().kept_bytes) {
        return true;
    }
    reject_number(guest, KEPT_BYTES, i64::from(limits().kept_bytes));
    false
}

pub fn mark() {
    heap::mark(TABLE.get(), CAPACITY.get() * 4);
    let mut number = 0;
    while number < COUNT.get() {
        heap::mark(r32(TABLE.get() + number * 4), GUEST_BYTES);
        number += 1;
    }
}
