//! UTF-8: checked, and repaired as the Unicode Standard recommends (3.9, "U+FFFD Substitution of Maximal Subparts"),
//! which is what Python's decoder does.

use crate::guests::Guest;
use crate::memory::{P, copy_loosely, move_bytes, r8, r64, w8, w16, w64};
use crate::rejections::{UTF8, reject};

const HIGH: u64 = 0x8080_8080_8080_8080;
const BAD: u32 = 8;

/// Whether at most 16 bytes are ASCII; as many are read.
#[inline(always)]
fn is_short_ascii(at: u32, size: u32) -> bool {
    let low = r64(at);
    if size > 8 {
        (low | r64(at + 8) << (128 - 8 * size)) & HIGH == 0
    } else {
        // Shifted twice, because a shift by 64 would be one by 0.
        (low << (32 - 4 * size) << (32 - 4 * size)) & HIGH == 0
    }
}

/// The length of the character at `at`, or BAD + that of what to replace.
#[inline(always)]
fn step(at: u32, end: u32) -> u32 {
    let first = r8(at);
    if first < 0x80 {
        return 1;
    }
    let (size, low, high) = match first {
        0xc2..=0xdf => (2, 0x80, 0xbf),
        0xe0 => (3, 0xa0, 0xbf),
        0xed => (3, 0x80, 0x9f),
        0xe1..=0xef => (3, 0x80, 0xbf),
        0xf0 => (4, 0x90, 0xbf),
        0xf1..=0xf3 => (4, 0x80, 0xbf),
        0xf4 => (4, 0x80, 0x8f),
        _ => return BAD + 1,
    };
    if at + 1 >= end || r8(at + 1) < low || r8(at + 1) > high {
        return BAD + 1;
    }
    let mut i = 2;
    while i < size {
        if at + i >= end || r8(at + i) & 0xc0 != 0x80 {
            return BAD + i;
        }
        i += 1;
    }
    size
}

/// Whether bytes are well-formed UTF-8; up to 15 more are read.
#[inline(always)]
pub fn is_utf8(at: u32, size: u32) -> bool {
    if size <= 16 && is_short_ascii(at, size) {
        return true;
    }
    is_long_utf8(at, size)
}

fn is_long_utf8(mut at: u32, size: u32) -> bool {
    let end = at + size;
    while at < end {
        if end - at >= 16 {
            if (r64(at) | r64(at + 8)) & HIGH == 0 {
                at += 16;
                continue;
            }
        } else if is_short_ascii(at, end - at) {
            return true;
        }
        // What is not ASCII is seldom alone.
        let mut budget = 16;
        while at < end && budget != 0 {
            let size = step(at, end);
            if size > BAD {
                return false;
            }
            at += size;
            budget -= 1;
        }
    }
    true
}

/// How many bytes text has when it is repaired.
pub fn repaired_size(mut at: u32, size: u32) -> u32 {
    let end = at + size;
    let mut sum = 0;
    while at < end {
        let size = step(at, end);
        if size > BAD {
            sum += 3;
            at += size - BAD;
        } else {
            sum += size;
            at += size;
        }
    }
    sum
}

/// How many bytes text takes at most when it is repaired: exactly, if it is long.
#[inline(always)]
pub fn room(at: u32, size: u32) -> u64 {
    if size <= 256 { u64::from(size) * 3 } else { long_room(at, size) }
}

#[inline(never)]
fn long_room(at: u32, size: u32) -> u64 {
    u64::from(if is_long_utf8(at, size) { size } else { repaired_size(at, size) })
}

/// Write text, repaired; gives where it ends.
fn repair(mut to: u32, mut at: u32, size: u32) -> u32 {
    let end = at + size;
    while at < end {
        let size = step(at, end);
        if size > BAD {
            w16(to, 0xbfef);
            w8(to + 2, 0xbd);
            to += 3;
            at += size - BAD;
        } else {
            move_bytes(to, at, size);
            to += size;
            at += size;
        }
    }
    to
}

/// Write text, at most three times its size and 31 bytes more; ill-formed text is counted and repaired. Gives where it
/// ends.
#[inline(always)]
pub fn put(guest: P<Guest>, to: u32, from: u32, size: u32) -> u32 {
    if size <= 16 && is_short_ascii(from, size) {
        let (a, b) = (r64(from), r64(from + 8));
        w64(to, a);
        w64(to + 8, b);
        return to + size;
    }
    put_long(guest, to, from, size)
}

#[inline(never)]
fn put_long(guest: P<Guest>, to: u32, from: u32, size: u32) -> u32 {
    if is_long_utf8(from, size) {
        copy_loosely(to, from, size);
        return to + size;
    }
    reject(guest, UTF8);
    repair(to, from, size)
}

/// Write ASCII; false if it is not. At most 31 bytes more are written.
#[inline(always)]
pub fn put_ascii(to: u32, from: u32, size: u32) -> bool {
    if size > 16 {
        return put_long_ascii(to, from, size);
    }
    let (a, b) = (r64(from), r64(from + 8));
    w64(to, a);
    w64(to + 8, b);
    is_short_ascii(from, size)
}

fn put_long_ascii(to: u32, from: u32, size: u32) -> bool {
    copy_loosely(to, from, size);
    let mut high = 0;
    let mut i = 0;
    while i + 8 <= size {
        high |= r64(from + i);
        i += 8;
    }
    (high | r64(from + size - 8)) & HIGH == 0
}

/// Write text if it is well-formed; false if it is not. At most 31 bytes more are written.
#[inline(always)]
pub fn put_good(to: u32, from: u32, size: u32) -> bool {
    if size <= 16 && is_short_ascii(from, size) {
        let (a, b) = (r64(from), r64(from + 8));
        w64(to, a);
        w64(to + 8, b);
        return true;
    }
    put_long_good(to, from, size)
}

#[inline(never)]
fn put_long_good(to: u32, from: u32, size: u32) -> bool {
    copy_loosely(to, from, size);
    is_long_utf8(from, size)
}

/// Where to cut text of more than `limit` bytes: at most there, and between characters. The byte at `limit` is read.
pub fn cut(at: u32, limit: u32) -> u32 {
    let least = limit.saturating_sub(3);
    let mut end = limit;
    while end > least && r8(at + end) & 0xc0 == 0x80 {
        end -= 1;
    }
    end
}

/// How many characters well-formed text has.
pub fn characters(at: u32, size: u32) -> u32 {
    let mut count = 0;
    let mut i = 0;
    while i < size {
        count += (r8(at + i) & 0xc0 != 0x80) as u32;
        i += 1;
    }
    count
}
