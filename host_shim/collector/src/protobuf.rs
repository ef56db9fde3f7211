//! Pieces of protobuf messages (https://protobuf.dev/programming-guides/encoding/): varints, and lengths that are known last.

use crate::memory::{move_bytes, r8, w8};

/// Write a varint; up to 10 bytes.
#[inline(never)]
pub fn varint(at: u32, value: u64) -> u32 {
    let (mut at, mut value) = (at, value);
    while value >= 128 {
        w8(at, value as u32 | 128);
        at += 1;
        value >>= 7;
    }
    w8(at, value as u32);
    at + 1
}

/// Where a varint ends.
#[inline(never)]
pub fn skip_varint(at: u32) -> u32 {
    let mut at = at;
    while r8(at) >= 128 {
        at += 1;
    }
    at + 1
}

#[inline(always)]
pub fn varint_size(value: u64) -> u32 {
    // 7 bits a byte, and 0 takes one, too.
    (70 - (value | 1).leading_zeros()) / 7
}

/// Write the length of what lies behind the byte at `at` up to `end` there; if it takes more bytes, all is moved. Gives
/// where it ends.
#[inline(never)]
pub fn fix_length(at: u32, end: u32) -> u32 {
    let size = end - at - 1;
    if size < 128 {
        w8(at, size);
        return end;
    }
    let more = varint_size(u64::from(size)) - 1;
    move_bytes(at + 1 + more, at + 1, size);
    varint(at, u64::from(size));
    end + more
}

/// Write the tag and the length of what lies from `at + 3` to `end`: with the length that most have, nothing moves. Gives
/// where it ends.
#[inline(always)]
pub fn close(at: u32, tag: u32, end: u32) -> u32 {
    let size = end - at - 3;
    w8(at, tag);
    if size >= 128 && size < 16_384 {
        w8(at + 1, size | 128);
        w8(at + 2, size >> 7);
        return end;
    }
    move_bytes(at + 2, at + 3, size);
    fix_length(at + 1, end - 1)
}
