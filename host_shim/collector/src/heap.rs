//! Memory in blocks of powers of two, from 64 bytes up, each aligned to its size.
//!
//! A map has a byte for each 64 bytes of memory: 0, or a block that is in use begins there and this is its order + 1.
//! The lists of free blocks follow from the map. So `rebuild` serves for two things: it merges free neighbours when
//! there is no block large enough, and after a trap it finds what is nobody's (`forget`, then a `mark` for each block
//! that somebody has).

use crate::memory::{Var, fill, move_bytes, r8, r32, r64, w8, w32};
use core::arch::wasm32::{memory_grow, memory_size};

const UNIT: u32 = 6;
const PAGE: u32 = 16;
const ORDERS: usize = 26;
/// The first map is for one page, of the 4 that the module starts with: many a store's guests tell nothing, and each
/// part of memory that is touched has to be provided by the system.
const FIRST_MAP: usize = 1 << (PAGE - UNIT);
/// So much is managed at first: what `init` and a guest take.
const FIRST_BYTES: u32 = 2_048;
/// Memory grows by this at least.
const STEP: u32 = 2 << PAGE;
/// No block is larger.
pub const MAX_BYTES: u32 = 1 << 30;

static FIRST: Var<u32> = Var::new(0);
static FREE: [Var<u32>; ORDERS] = [const { Var::new(0) }; ORDERS];
/// A bit for each order that has a free block.
static AVAILABLE: Var<u32> = Var::new(0);
/// Address of the map, in its low bits how many units it has room for, as a power of two.
static MAP: Var<u32> = Var::new(0);
static BASE: Var<u32> = Var::new(0);
static END: Var<u32> = Var::new(0);
/// Bytes that were freed since neighbours were last merged.
static FREED: Var<u32> = Var::new(0);

unsafe extern "C" {
    static __heap_base: u8;
}

#[inline(always)]
fn map() -> u32 {
    MAP.get() & !63
}

#[inline(always)]
fn free_list(order: u32) -> &'static Var<u32> {
    // SAFETY: no order is beyond that of MAX_BYTES, 24.
    unsafe { FREE.get_unchecked(order as usize) }
}

#[inline(always)]
fn order_of(bytes: u32) -> u32 {
    if bytes <= 64 { 0 } else { 32 - UNIT - (bytes - 1).leading_zeros() }
}

/// How many bytes a block for so many has.
#[inline(always)]
pub fn rounded(bytes: u32) -> u32 {
    64 << order_of(bytes)
}

/// Take possession of the memory. Must be called before all else. False if that was done already.
pub fn start() -> bool {
    if MAP.get() != 0 {
        return false;
    }
    let base = (&raw const __heap_base as u32 + 63) & !63;
    // The first map is the first block; it is not listed in itself, as BASE is behind it.
    // New memory is zero, as the map has to be.
    MAP.set(base | FIRST_MAP.trailing_zeros());
    FIRST.set(base);
    let first = base + FIRST_MAP as u32;
    BASE.set(first);
    END.set((first + FIRST_BYTES + 4095) & !4095);
    rebuild();
    true
}

/// The end of memory as far as the map goes.
fn managed_end() -> u32 {
    let mapped = 1u64 << ((MAP.get() & 63) + UNIT);
    let there = (memory_size(0) as u64) << PAGE;
    // The last page of 4 GiB stays unused, so that an end is always a number.
    let end = if mapped < there { mapped } else { there };
    if end > 0xffff_0000 { 0xffff_0000 } else { end as u32 }
}

/// Get a block of at least so many bytes; 0 if there is none. Its contents are undefined.
#[inline(never)]
pub fn alloc(bytes: u32) -> u32 {
    if bytes > MAX_BYTES {
        return 0;
    }
    alloc_quickly(bytes)
}

/// As `alloc`, for a constant.
#[inline(always)]
pub fn alloc_quickly(bytes: u32) -> u32 {
    let order = order_of(bytes);
    let list = free_list(order);
    let block = list.get();
    if block == 0 {
        return alloc_slowly(order);
    }
    take(order, block);
    block
}

#[inline(always)]
fn take(order: u32, block: u32) {
    let next = r32(block);
    free_list(order).set(next);
    if next == 0 {
        AVAILABLE.set(AVAILABLE.get() & !(1 << order));
    }
    w8(map() + (block >> UNIT), order + 1);
}

#[inline(never)]
fn alloc_slowly(order: u32) -> u32 {
    if AVAILABLE.get() >> order == 0 && !make_room(order) {
        return 0;
    }
    let mut larger = order + (AVAILABLE.get() >> order).trailing_zeros();
    let block = free_list(larger).get();
    take(larger, block);
    while larger > order {
        larger -= 1;
        push(block + (64 << larger), larger);
    }
    w8(map() + (block >> UNIT), order + 1);
    block
}

#[inline(always)]
fn push(block: u32, order: u32) {
    let list = free_list(order);
    w32(block, list.get());
    list.set(block);
    AVAILABLE.set(AVAILABLE.get() | 1 << order);
}

/// Give a block back that was got for so many bytes. 0 is no block.
#[inline(never)]
pub fn free(block: u32, bytes: u32) {
    if block != 0 {
        free_quickly(block, bytes);
    }
}

/// As `free`, of a block that is there.
#[inline(always)]
pub fn free_quickly(block: u32, bytes: u32) {
    let order = order_of(bytes);
    w8(map() + (block >> UNIT), 0);
    FREED.set(FREED.get().wrapping_add(64 << order));
    push(block, order);
}

fn make_room(order: u32) -> bool {
    // Merging looks at all memory: only when it is worth it.
    if FREED.get() >= (END.get() - BASE.get()) / 4 {
        rebuild();
        if AVAILABLE.get() >> order != 0 {
            return true;
        }
    }
    if grow(order) {
        return true;
    }
    if FREED.get() != 0 {
        rebuild();
    }
    AVAILABLE.get() >> order != 0
}

fn grow(order: u32) -> bool {
    let end = u64::from(END.get());
    let size = 64u64 << order;
    let mut block = (end + size - 1) & !(size - 1);
    let mut new_end = block + size;
    if new_end < end + u64::from(STEP) {
        new_end = end + u64::from(STEP);
    }
    let mut map_bytes = 0;
    let mut new_map = 0;
    if new_end >> UNIT > 1 << (MAP.get() & 63) {
        map_bytes = 1u64 << (64 - (new_end >> UNIT).leading_zeros() + 1);
        new_map = (end + map_bytes - 1) & !(map_bytes - 1);
        block = (new_map + map_bytes + size - 1) & !(size - 1);
        if new_end < block + size {
            new_end = block + size;
        }
    }
    // A multiple of the step: blocks are aligned to their size, and between uneven ends large ones do not fit.
    new_end = (new_end + u64::from(STEP) - 1) & !u64::from(STEP - 1);
    if new_end > 0xffff_0000 {
        return false;
    }
    let there = memory_size(0) as u64;
    let wanted = new_end >> PAGE;
    // After a trap there may be more than is managed.
    if wanted > there && memory_grow(0, (wanted - there) as usize) == usize::MAX {
        return false;
    }
    let old_map = MAP.get();
    if map_bytes != 0 {
        let new_map = new_map as u32;
        fill(new_map, map_bytes as u32);
        move_bytes(new_map, old_map & !63, 1 << (old_map & 63));
        w8(new_map + (new_map >> UNIT), order_of(map_bytes as u32) + 1);
        if old_map & !63 != FIRST.get() {
            w8(new_map + ((old_map & !63) >> UNIT), 0);
        }
        MAP.set(new_map | map_bytes.trailing_zeros());
    }
    END.set(new_end as u32);
    if map_bytes != 0 {
        // The old map is free, too: it is found by looking.
        rebuild();
    } else {
        add_free(end as u32, new_end as u32);
    }
    true
}

/// Work out the lists of free blocks from the map.
pub fn rebuild() {
    let mut order = 0;
    while order < ORDERS as u32 {
        free_list(order).set(0);
        order += 1;
    }
    AVAILABLE.set(0);
    FREED.set(0);
    let map = map();
    let end = END.get();
    let mut at = BASE.get();
    let mut gap = at;
    while at < end {
        if at & 511 == 0 && at + 512 <= end && r64(map + (at >> UNIT)) == 0 {
            at += 512;
            continue;
        }
        let used = r8(map + (at >> UNIT));
        if used == 0 {
            at += 64;
            continue;
        }
        add_free(gap, at);
        at += 64 << (used - 1);
        gap = at;
    }
    if gap < end {
        add_free(gap, end);
    }
}

/// List what lies between two addresses as free, in blocks as large as can be.
fn add_free(from: u32, to: u32) {
    let mut at = from;
    while at < to {
        let aligned = at.trailing_zeros();
        let fits = 31 - (to - at).leading_zeros();
        let mut order = if aligned < fits { aligned } else { fits } - UNIT;
        if order > ORDERS as u32 - 2 {
            order = ORDERS as u32 - 2;
        }
        push(at, order);
        at += 64 << order;
    }
}

/// After a trap: no block is in use but those that are marked from now on, until `rebuild`.
pub fn forget() {
    // Memory may have grown without the map, or before END was set.
    END.set(managed_end());
    let map = MAP.get();
    fill(map & !63, 1 << (map & 63));
    if map & !63 != FIRST.get() {
        mark(map & !63, 1 << (map & 63));
    }
}

/// Say that a block is in use, got for so many bytes. 0 is no block.
pub fn mark(block: u32, bytes: u32) {
    if block != 0 {
        w8(map() + (block >> UNIT), order_of(bytes) + 1);
    }
}
