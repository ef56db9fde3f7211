//! Entries: written, copied, found and taken out.

use super::DEAD;
use crate::guests::Fixed;
use crate::memory::{P, copy_loosely, is_equal, move_bytes, r8, w8};
use crate::protobuf::{fix_length, varint};

/// The key of an entry: address and length.
#[inline(always)]
pub fn key_of(entry: u32) -> (u32, u32) {
    let mut p = entry + 1;
    while r8(p) >= 128 {
        p += 1;
    }
    // The tag of the key is behind the length.
    let size = r8(p + 2);
    if size < 128 { (p + 3, size) } else { (p + 4, size & 0x7f | r8(p + 3) << 7) }
}

#[inline(never)]
pub fn has_key(entry: u32, key: u32, key_len: u32) -> bool {
    let (there, size) = key_of(entry);
    size == key_len && is_equal(there, key, key_len)
}

/// Where the next entry begins.
#[inline(always)]
pub fn next_entry(at: u32) -> u32 {
    let size = r8(at + 1);
    if size < 128 { at + 2 + size } else { next_long_entry(at) }
}

fn next_long_entry(at: u32) -> u32 {
    let mut p = at + 1;
    let mut size = 0;
    let mut shift = 0;
    loop {
        let byte = r8(p);
        size |= (byte & 0x7f) << shift;
        p += 1;
        shift += 7;
        if byte < 128 || shift > 28 {
            return p + size;
        }
    }
}

/// Find the entry with a key; 0 if there is none.
pub fn find(start: u32, end: u32, tag: u32, key: u32, key_len: u32) -> u32 {
    let mut at = start;
    while at < end {
        if r8(at) == tag && has_key(at, key, key_len) {
            return at;
        }
        at = next_entry(at);
    }
    0
}

/// Close the gaps that dead entries leave.
pub fn compact(start: u32, end: u32) -> u32 {
    let mut to = start;
    let mut at = start;
    while at < end {
        let next = next_entry(at);
        if r8(at) != DEAD {
            if to != at {
                move_bytes(to, at, next - at);
            }
            to += next - at;
        }
        at = next;
    }
    to
}

/// Copy entries, those that are dead left out. Gives where they end.
pub fn copy_living(to: u32, start: u32, end: u32) -> u32 {
    let mut to = to;
    let mut from = start;
    let mut at = start;
    while at < end {
        let next = next_entry(at);
        if r8(at) == DEAD {
            if from != at {
                move_bytes(to, from, at - from);
                to += at - from;
            }
            from = next;
        }
        at = next;
    }
    move_bytes(to, from, end - from);
    to + (end - from)
}

/// Copy entries that were encoded with one tag for a field with another.
#[inline(always)]
pub fn put_fixed(to: u32, fixed: P<Fixed>, from_tag: u32, tag: u32) -> u32 {
    if fixed.len == 0 { to } else { put_fixed_entries(to, fixed, from_tag, tag) }
}

#[inline(never)]
fn put_fixed_entries(to: u32, fixed: P<Fixed>, from_tag: u32, tag: u32) -> u32 {
    let size = fixed.len;
    move_bytes(to, fixed.ptr, size);
    let end = to + size;
    if from_tag != tag {
        let mut at = to;
        while at < end {
            w8(at, tag);
            at = next_entry(at);
        }
    }
    end
}

/// Write the rest of an entry with text for value, behind its tag, which is there already. Gives where it ends.
pub fn put_text_entry(at: u32, key: u32, key_len: u32, from: u32, size: u32) -> u32 {
    w8(at + 2, 0x0a);
    w8(at + 3, key_len);
    copy_loosely(at + 4, key, key_len);
    let value_at = at + 4 + key_len;
    w8(value_at, 0x12);
    w8(value_at + 2, 0x0a);
    let to = varint(value_at + 3, u64::from(size));
    copy_loosely(to, from, size);
    let end = fix_length(value_at + 1, to + size);
    fix_length(at + 1, end)
}
