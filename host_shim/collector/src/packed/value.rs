//! The careful reader of values: of any kind, however deep.

use super::entries::{find, next_entry};
use super::notes::note;
use super::{
    ARRAY, BOOL, BYTES, ELEMENTS, EMPTY, END, F64, GUEST, I64, MAP, SOURCE, STOP, STRING, limit_of_key, limit_of_value,
};
use crate::control::limits;
use crate::memory::{copy_loosely, move_bytes, r8, r16, r32, r64, w8, w64};
use crate::protobuf::{fix_length, varint};
use crate::rejections::{ATTRIBUTE, ATTRIBUTE_DEPTH, ATTRIBUTE_ELEMENTS, ATTRIBUTE_KEY, reject_number};
use crate::text;

/// More nesting than this would be a danger to the stack, whatever the limit says.
const DEEPEST: u32 = 32;

/// Read any value at SOURCE and write the fields of its AnyValue. Sets STOP if it is malformed.
pub fn value(to: u32, depth: u32) -> u32 {
    let p = SOURCE.get();
    let end = END.get();
    if p >= end {
        STOP.set(ATTRIBUTE);
        return to;
    }
    let left = end - p - 1;
    match r8(p) {
        EMPTY => {
            SOURCE.set(p + 1);
            to
        }
        BOOL => {
            if left < 1 {
                return stop(to);
            }
            w8(to, 0x10);
            w8(to + 1, (r8(p + 1) != 0) as u32);
            SOURCE.set(p + 2);
            to + 2
        }
        I64 => {
            if left < 8 {
                return stop(to);
            }
            w8(to, 0x18);
            SOURCE.set(p + 9);
            varint(to + 1, r64(p + 1))
        }
        F64 => {
            if left < 8 {
                return stop(to);
            }
            w8(to, 0x21);
            w64(to + 1, r64(p + 1));
            SOURCE.set(p + 9);
            to + 9
        }
        kind @ (STRING | BYTES) => {
            if left < 4 || left - 4 < r32(p + 1) {
                return stop(to);
            }
            let mut size = r32(p + 1);
            let from = p + 5;
            SOURCE.set(from + size);
            let limit = limit_of_value();
            if size > limit {
                note(i64::from(size));
                size = if kind == STRING { text::cut(from, limit) } else { limit };
            }
            if kind == BYTES {
                w8(to, 0x3a);
                let at = varint(to + 1, u64::from(size));
                copy_loosely(at, from, size);
                return at + size;
            }
            w8(to, 0x0a);
            let at = varint(to + 1, u64::from(size));
            if text::is_utf8(from, size) {
                copy_loosely(at, from, size);
                return at + size;
            }
            let at = varint(to + 1, u64::from(text::repaired_size(from, size)));
            text::put(GUEST.get(), at, from, size)
        }
        kind @ (ARRAY | MAP) => {
            let limits = limits();
            if depth >= limits.depth || depth >= DEEPEST {
                STOP.set(ATTRIBUTE_DEPTH);
                return to;
            }
            if left < 4 || left - 4 < r32(p + 1) {
                return stop(to);
            }
            let count = r32(p + 1);
            SOURCE.set(p + 5);
            ELEMENTS.set(ELEMENTS.get().saturating_add(count));
            if ELEMENTS.get() > limits.elements {
                STOP.set(ATTRIBUTE_ELEMENTS);
                return to;
            }
            let at = if kind == ARRAY { array(to + 2, count, depth) } else { map(to + 2, count, depth) };
            w8(to, if kind == ARRAY { 0x2a } else { 0x32 });
            fix_length(to + 1, at)
        }
        _ => stop(to),
    }
}

pub fn stop(to: u32) -> u32 {
    STOP.set(ATTRIBUTE);
    to
}

fn array(to: u32, count: u32, depth: u32) -> u32 {
    let mut at = to;
    let mut i = 0;
    while i < count {
        w8(at, 0x0a);
        let end = value(at + 2, depth + 1);
        if STOP.get() != 0 {
            return at;
        }
        at = fix_length(at + 1, end);
        i += 1;
    }
    at
}

fn map(to: u32, count: u32, depth: u32) -> u32 {
    let guest = GUEST.get();
    let mut at = to;
    let mut i = 0;
    while i < count {
        let p = SOURCE.get();
        let left = END.get() - p;
        if left < 2 || left - 2 < r16(p) {
            STOP.set(ATTRIBUTE);
            return at;
        }
        let size = r16(p);
        SOURCE.set(p + 2 + size);
        let is_good = size != 0 && size <= limit_of_key();
        let mut key = at + 4;
        let mut key_len = 0;
        if is_good {
            key_len = text::repaired_size(p + 2, size);
            if key_len >= 128 {
                key += 1;
            }
            text::put(guest, key, p + 2, size);
        } else {
            reject_number(guest, ATTRIBUTE_KEY, i64::from(size));
        }
        let value_at = key + key_len;
        let end = value(value_at + 2, depth + 1);
        if STOP.get() != 0 {
            return at;
        }
        i += 1;
        if !is_good {
            continue;
        }
        let end = fix_length(value_at + 1, end);
        w8(value_at, 0x12);
        w8(at, 0x0a);
        w8(at + 2, 0x0a);
        varint(at + 3, u64::from(key_len));
        let before = find(to, at, 0x0a, key, key_len);
        let end = fix_length(at + 1, end);
        if before == 0 {
            at = end;
        } else {
            let next = next_entry(before);
            move_bytes(before, next, end - next);
            at = end - (next - before);
        }
    }
    at
}
