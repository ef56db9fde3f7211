//! Byte strings that were registered, each once, and what is known of each. Ids count from 1.

use crate::heap;
use crate::memory::{P, fence, fill, is_equal, move_bytes, r8, r32, r64, w32};

#[repr(C)]
pub struct Interned {
    entries: u32,
    cap: u32,
    pub count: u32,
    // Open addressing by hash, at most half full. It follows from the entries.
    index: u32,
    index_cap: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    /// The bytes are `size` at `data`, followed by what belongs to them; the block has `cap` bytes.
    pub data: u32,
    pub size: u32,
    pub cap: u32,
    pub hash: u32,
    /// Tells apart what has the same bytes.
    pub kind: u32,
    /// For the owner of the table.
    pub value: u32,
}

const ENTRY: u32 = core::mem::size_of::<Entry>() as u32;
const FIRST: u32 = 16;

pub fn hash(data: u32, size: u32, kind: u32) -> u32 {
    let mut sum = u64::from(size) ^ u64::from(kind) << 32 ^ 0x9e37_79b9_7f4a_7c15;
    let mut i = 0;
    while i + 8 <= size {
        sum = (sum ^ r64(data + i)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        sum ^= sum >> 32;
        i += 8;
    }
    while i < size {
        sum = (sum ^ u64::from(r8(data + i))).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        sum ^= sum >> 29;
        i += 1;
    }
    (sum ^ sum >> 32) as u32
}

/// The entry of an id that the table has given out.
#[inline(always)]
pub fn entry(table: P<Interned>, id: u32) -> P<Entry> {
    P::at(table.entries + (id - 1) * ENTRY)
}

/// Find bytes; 0 if they are not there.
pub fn find(table: P<Interned>, hash: u32, kind: u32, data: u32, size: u32) -> u32 {
    if table.index_cap == 0 {
        return 0;
    }
    let mask = table.index_cap - 1;
    let mut at = hash & mask;
    loop {
        let id = r32(table.index + at * 4);
        if id == 0 {
            return 0;
        }
        if id <= table.count {
            let known = entry(table, id);
            if known.hash == hash && known.kind == kind && known.size == size && is_equal(known.data, data, size) {
                return id;
            }
        }
        at = (at + 1) & mask;
    }
}

/// Make room for one more entry; false if there is none.
pub fn has_room(mut table: P<Interned>) -> bool {
    if table.count < table.cap {
        return true;
    }
    let cap = if table.cap == 0 { FIRST } else { table.cap * 2 };
    if cap > heap::MAX_BYTES / ENTRY {
        return false;
    }
    let entries = heap::alloc(cap * ENTRY);
    let index = heap::alloc(cap * 2 * 4);
    if entries == 0 || index == 0 {
        if entries != 0 {
            heap::free(entries, cap * ENTRY);
        }
        if index != 0 {
            heap::free(index, cap * 2 * 4);
        }
        return false;
    }
    move_bytes(entries, table.entries, table.count * ENTRY);
    fill(index, cap * 2 * 4);
    let (old, old_cap, old_index, old_index_cap) = (table.entries, table.cap, table.index, table.index_cap);
    fence();
    table.entries = entries;
    table.cap = cap;
    table.index = index;
    table.index_cap = cap * 2;
    fence();
    refill(table);
    heap::free(old, old_cap * ENTRY);
    heap::free(old_index, old_index_cap * 4);
    true
}

/// Add an entry, for which `has_room` has just made room: `size` bytes at `data`, in a block of `cap` bytes that is the
/// table's from then on. Gives its id.
pub fn add(mut table: P<Interned>, hash: u32, kind: u32, data: u32, size: u32, cap: u32, value: u32) -> u32 {
    let id = table.count + 1;
    let mut place = entry(table, id);
    place.data = data;
    place.size = size;
    place.cap = cap;
    place.hash = hash;
    place.kind = kind;
    place.value = value;
    list(table, id);
    fence();
    // Now it is there. Until then its id in the index is beyond the count.
    table.count = id;
    fence();
    id
}

fn list(table: P<Interned>, id: u32) {
    let mask = table.index_cap - 1;
    let mut at = entry(table, id).hash & mask;
    loop {
        let there = r32(table.index + at * 4);
        // One that a trap left here, of an entry that never came to be, is written over.
        if there == 0 || there >= id {
            break;
        }
        at = (at + 1) & mask;
    }
    w32(table.index + at * 4, id);
}

fn refill(table: P<Interned>) {
    let mut id = 1;
    while id <= table.count {
        list(table, id);
        id += 1;
    }
}

/// How many bytes were registered.
pub fn bytes(table: P<Interned>) -> u64 {
    let mut sum = 0;
    let mut id = 1;
    while id <= table.count {
        sum += u64::from(entry(table, id).size);
        id += 1;
    }
    sum
}

/// After a trap: mark all blocks of the table, those of the entries, too.
pub fn mark(table: P<Interned>) {
    heap::mark(table.entries, table.cap * ENTRY);
    heap::mark(table.index, table.index_cap * 4);
    let mut id = 1;
    while id <= table.count {
        let known = entry(table, id);
        heap::mark(known.data, known.cap);
        id += 1;
    }
}

/// After a trap: work out the index anew.
pub fn recover(table: P<Interned>) {
    if table.index_cap != 0 {
        fill(table.index, table.index_cap * 4);
        refill(table);
    }
}
