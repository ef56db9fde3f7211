//! Packed attribute lists: checked, and encoded as OTLP KeyValues ("Packed data" in docs/abi.md).
//!
//! An entry is one KeyValue with the tag of the field it goes into and its length before it. Entries lie one behind the
//! other. One whose tag is 0 is dead: its key came again, or there was one too many.

use crate::control::limits;
use crate::guests::{Fixed, Guest};
use crate::heap;
use crate::memory::{P, Var, copy_loosely, is_equal, move_bytes, r8, r16, r32, r64, w8, w16, w32, w64};
use crate::rejections::{
    ATTRIBUTE, ATTRIBUTE_COUNT, ATTRIBUTE_DEPTH, ATTRIBUTE_ELEMENTS, ATTRIBUTE_FIELD, ATTRIBUTE_KEY,
    ATTRIBUTE_RESERVED, ATTRIBUTE_TYPE, KEPT_BYTES, decimal, reject, reject_number, reject_text, reject_times,
};
use crate::sites::Site;
use crate::text;
use crate::work;

/// Tags of the fields that hold attributes.
pub const OF_SPAN: u32 = 0x4a;
pub const OF_LOG: u32 = 0x32;
pub const OF_EVENT: u32 = 0x1a;
pub const OF_LINK: u32 = 0x22;
const DEAD: u32 = 0;

const EMPTY: u32 = 0;
const STRING: u32 = 1;
const BOOL: u32 = 2;
const I64: u32 = 3;
const F64: u32 = 4;
const BYTES: u32 = 5;
const ARRAY: u32 = 6;
const MAP: u32 = 7;

/// More nesting than this would be a danger to the stack, whatever the limit says.
const DEEPEST: u32 = 32;
/// Longest key, whatever the limit says.
const LONGEST_KEY: u32 = 5_000;
/// Most attributes of one list, whatever the limit says.
const MOST: u32 = 65_536;

const TRUNCATED: &[u8; 24] = b"wasmscope.truncated\0\0\0\0\0";
const TRUNCATED_LEN: u32 = 19;
const TEXT_WASM: u32 = u32::from_le_bytes(*b"wasm");
const TEXT_SCOP: u32 = u32::from_le_bytes(*b"scop");
const TEXT_E_DOT: u32 = u16::from_le_bytes(*b"e.") as u32;

// The state of the reader. Not on the stack, so that the collector's stack pointer never moves.
static GUEST: Var<P<Guest>> = Var::new(P::NONE);
static SOURCE: Var<u32> = Var::new(0);
static END: Var<u32> = Var::new(0);
static STOP: Var<u32> = Var::new(0);
static ELEMENTS: Var<u32> = Var::new(0);
static NAME: Var<u32> = Var::new(0);
static NAME_LEN: Var<u32> = Var::new(0);

// Of each attribute of the list, in the order in which its key first came: its entry and FLAGS.
static ORDER: Var<u32> = Var::new(0);
static ORDER_CAP: Var<u32> = Var::new(0);
static GIVEN: Var<u32> = Var::new(0);
const IS_FIXED: u32 = 1;
const IS_TRUNCATED: u32 = 2;
/// The list is the host's: keys may be reserved, and nothing is cut.
static IS_HOSTS: Var<bool> = Var::new(false);
static HAS_DEAD: Var<bool> = Var::new(false);
static BLOOM: Var<u64> = Var::new(0);

// Notes on what was cut: index in the order, length, bytes.
static NOTES: Var<u32> = Var::new(0);
static NOTES_CAP: Var<u32> = Var::new(0);
static NOTES_LEN: Var<u32> = Var::new(0);
const NO_INDEX: u32 = 0xffff_ffff;
const BODY_INDEX: u32 = 0xffff_fffe;

// Entries that are there before those of the list: those of the host, which win, and the others, which lose.
static FIXED_START: Var<u32> = Var::new(0);
static FIXED_BASE: Var<u32> = Var::new(0);
static FIXED_END: Var<u32> = Var::new(0);

/// How many bytes of memory the entries of a list may need, at most.
#[inline(always)]
pub fn bound(site: P<Site>, size: u32) -> u64 {
    let plain = u64::from(size) * 4 + 64;
    if site.is_none() || site.field_count == 0 {
        return plain;
    }
    // A field reference takes three bytes and stands for a name.
    let most = limits().attributes;
    let references = if size / 3 < most { size / 3 } else { most };
    plain + u64::from(references) * u64::from(site.field_max + 16)
}

/// Get ready for a list.
#[inline(always)]
pub fn begin(guest: P<Guest>) {
    GUEST.set(guest);
    GIVEN.set(0);
    NOTES_LEN.set(0);
    HAS_DEAD.set(false);
    IS_HOSTS.set(false);
    BLOOM.set(0);
    FIXED_START.set(0);
    FIXED_BASE.set(0);
    FIXED_END.set(0);
}

/// Say which entries are there already; of those up to `base_end`, the list can change none.
#[inline(always)]
pub fn begin_with(start: u32, base_end: u32, end: u32, bloom: u64) {
    FIXED_START.set(start);
    FIXED_BASE.set(base_end);
    FIXED_END.set(end);
    BLOOM.set(bloom);
}

/// Say that the list is the host's.
pub fn trust() {
    IS_HOSTS.set(true);
}

#[inline(always)]
fn limit_of_value() -> u32 {
    if IS_HOSTS.get() { u32::MAX } else { limits().value }
}

/// The longest key. However it is repaired, its length takes two bytes.
#[inline(always)]
pub fn limit_of_key() -> u32 {
    let limit = limits().key;
    if IS_HOSTS.get() || limit > LONGEST_KEY { LONGEST_KEY } else { limit }
}

pub fn limit_of_guests_key() -> u32 {
    let limit = limits().key;
    if limit > LONGEST_KEY { LONGEST_KEY } else { limit }
}

/// Note that a log's body was cut.
pub fn note_body(size: i64) {
    w32(NAME_BODY.address(), u32::from_le_bytes(*b"body"));
    NAME.set(NAME_BODY.address());
    NAME_LEN.set(4);
    note(size);
    if NOTES_LEN.get() != 0 {
        w32(NOTES.get(), BODY_INDEX);
    }
}

static NAME_BODY: Var<u64> = Var::new(0);

#[inline(always)]
fn limit_of_attributes() -> u32 {
    let limit = limits().attributes;
    if limit < MOST { limit } else { MOST }
}

/// Encode a list at `to`, where `bound` bytes are free. Gives where it ends.
///
/// If anything may be cut (the list is larger than limits.value, or there is a note already), `to` is in the work
/// buffer, which may move: then `to` and the addresses given to `begin_with` have moved by as much as `work::base()`.
#[inline(always)]
pub fn encode(site: P<Site>, source: u32, size: u32, to: u32, tag: u32) -> u32 {
    if size == 0 && NOTES_LEN.get() == 0 {
        return to;
    }
    encode_list(site, source, size, to, tag)
}

#[inline(never)]
fn encode_list(site: P<Site>, source: u32, size: u32, to: u32, tag: u32) -> u32 {
    let guest = GUEST.get();
    let end = source + size;
    let most = limit_of_attributes();
    let limit_value = limit_of_value();
    let limit_key = limit_of_key();
    if ORDER_CAP.get() < most + 2 && !grow_order(most + 2) {
        reject(guest, KEPT_BYTES);
        return to;
    }
    STOP.set(0);
    ELEMENTS.set(0);
    END.set(end);
    let mut p = source;
    let mut at = to;
    let mut count = 0;
    while p < end {
        if count == most {
            STOP.set(ATTRIBUTE_COUNT);
            break;
        }
        count += 1;
        let start = at;
        let left = end - p;
        if left < 2 {
            STOP.set(ATTRIBUTE);
            break;
        }
        let head = r16(p);
        p += 2;
        // Where the key begins, and how long it is; 0 if the attribute must be dropped.
        let mut key = at + 4;
        let mut key_len = 0;
        if head & 0x8000 != 0 {
            let index = head & 0x7fff;
            if !site.is_none() && index < site.field_count {
                let name = r32(site.fields + index * 8);
                key_len = r32(site.fields + index * 8 + 4);
                if key_len >= 128 {
                    key += 1;
                }
                copy_loosely(key, name, key_len);
            } else {
                reject_number(guest, ATTRIBUTE_FIELD, i64::from(index));
            }
        } else {
            if left - 2 < head {
                STOP.set(ATTRIBUTE);
                break;
            }
            let from = p;
            p += head;
            if head == 0 || head > limit_key {
                reject_number(guest, ATTRIBUTE_KEY, i64::from(head));
            } else {
                // However it is repaired, a short one has a short length.
                if head > 42 {
                    let is_good = text::is_utf8(from, head);
                    if (if is_good { head } else { text::repaired_size(from, head) }) >= 128 {
                        key += 1;
                    }
                }
                key_len = text::put(guest, key, from, head) - key;
                if is_reserved(key, key_len) && !IS_HOSTS.get() {
                    reject_text(guest, ATTRIBUTE_RESERVED, key, key_len);
                    key_len = 0;
                }
            }
        }
        let noted = NOTES_LEN.get();
        NAME.set(key);
        NAME_LEN.set(key_len);
        let value_at = key + key_len;
        w16(value_at, 0x12);
        // Most values are one of these.
        let kind = if p < end { r8(p) } else { 255 };
        let left = end - p;
        if kind == STRING && left >= 5 && r32(p + 1) <= left - 5 && r32(p + 1) < 100 && r32(p + 1) <= limit_value {
            let value_len = r32(p + 1);
            w16(value_at + 2, 0x0a);
            at = text::put(guest, value_at + 4, p + 5, value_len);
            // It may be repaired, and thereby longer.
            if at - value_at - 4 < 120 {
                w8(value_at + 3, at - value_at - 4);
                w8(value_at + 1, at - value_at - 2);
            } else {
                at = fix_length(value_at + 3, at);
                at = fix_length(value_at + 1, at);
            }
            p += 5 + value_len;
        } else if kind == I64 && left >= 9 {
            w8(value_at + 2, 0x18);
            at = varint(value_at + 3, r64(p + 1));
            w8(value_at + 1, at - value_at - 2);
            p += 9;
        } else if kind == BOOL && left >= 2 {
            w16(value_at + 1, 0x1002);
            w8(value_at + 3, (r8(p + 1) != 0) as u32);
            at = value_at + 4;
            p += 2;
        } else if kind == F64 && left >= 9 {
            w16(value_at + 1, 0x2109);
            w64(value_at + 3, r64(p + 1));
            at = value_at + 11;
            p += 9;
        } else {
            SOURCE.set(p);
            at = value(value_at + 2, 0);
            p = SOURCE.get();
            if STOP.get() != 0 {
                at = start;
                NOTES_LEN.set(noted);
                break;
            }
            at = fix_length(value_at + 1, at);
        }
        if key_len == 0 {
            at = start;
            NOTES_LEN.set(noted);
            continue;
        }
        // Now the head of the entry.
        w8(start, tag);
        w8(start + 2, 0x0a);
        if key_len < 128 {
            w8(start + 3, key_len);
        } else {
            varint(start + 3, u64::from(key_len));
        }
        let bit = bloom_bit(key, key_len);
        let size = at - start - 2;
        if size < 128 {
            w8(start + 1, size);
        } else {
            at = fix_length(start + 1, at);
        }
        let index = GIVEN.get();
        if BLOOM.get() & bit == 0 {
            BLOOM.set(BLOOM.get() | bit);
            let place = ORDER.get() + index * 8;
            w32(place, start);
            w32(place + 4, 0);
            GIVEN.set(index + 1);
            if NOTES_LEN.get() != noted {
                number_notes(noted, index);
            }
        } else if !enter(start, noted, 0) {
            at = start;
        }
    }
    let stop = STOP.get();
    if stop != 0 {
        reject_number(guest, stop, i64::from(p - source));
    }
    if NOTES_LEN.get() != 0 {
        at = put_notes(at, tag);
    }
    at
}

/// Keep an entry whose key may have come before. False if it is the host's, and the entry is to go.
#[inline(never)]
fn enter(start: u32, noted: u32, flags: u32) -> bool {
    let (key, key_len) = key_of(start);
    let mut flags = flags;
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        if has_key(r32(place), key, key_len) {
            w8(r32(place), DEAD);
            HAS_DEAD.set(true);
            w32(place, start);
            forget_notes(noted, index);
            number_notes(noted, index);
            return true;
        }
        index += 1;
    }
    let mut at = FIXED_START.get();
    while at < FIXED_END.get() {
        if r8(at) != DEAD && has_key(at, key, key_len) {
            if at < FIXED_BASE.get() {
                return false;
            }
            w8(at, DEAD);
            HAS_DEAD.set(true);
            flags |= IS_FIXED;
            break;
        }
        at = next_entry(at);
    }
    let place = ORDER.get() + index * 8;
    w32(place, start);
    w32(place + 4, flags);
    GIVEN.set(index + 1);
    BLOOM.set(BLOOM.get() | bloom_bit(key, key_len));
    number_notes(noted, index);
    true
}

/// How many attributes came, those of keys that were there before left out.
pub fn given() -> u32 {
    GIVEN.get()
}

pub fn bloom() -> u64 {
    BLOOM.get()
}

/// Drop the last attributes of the list where there are too many together with `fixed` others, and close the gaps from
/// `start` on. Gives where the entries end, and how many there are in `kept`.
#[inline(always)]
pub fn finish(start: u32, end: u32, fixed: u32) -> u32 {
    let given = GIVEN.get();
    if fixed + given <= limits().attributes && !HAS_DEAD.get() {
        KEPT.set(fixed + given);
        return end;
    }
    finish_slowly(start, end, fixed)
}

static KEPT: Var<u32> = Var::new(0);

/// How many attributes the last `finish` left.
#[inline(always)]
pub fn kept() -> u32 {
    KEPT.get()
}

#[inline(never)]
fn finish_slowly(start: u32, end: u32, fixed: u32) -> u32 {
    let given = GIVEN.get();
    let mut sum = fixed;
    let mut index = 0;
    while index < given {
        sum += (r32(ORDER.get() + index * 8 + 4) & IS_FIXED == 0) as u32;
        index += 1;
    }
    KEPT.set(sum);
    let limit = limits().attributes;
    if sum > limit {
        let dropped = drop_last(sum - limit);
        KEPT.set(sum - dropped);
    }
    if HAS_DEAD.get() { compact(start, end) } else { end }
}

/// Drop so many of the list's last attributes that are not among the fixed ones, and count them. Gives how many.
pub fn drop_last(excess: u32) -> u32 {
    let mut dropped = 0;
    let mut index = GIVEN.get();
    while index > 0 && dropped < excess {
        index -= 1;
        let place = ORDER.get() + index * 8;
        if r32(place + 4) & (IS_FIXED | IS_TRUNCATED) == 0 && r8(r32(place)) != DEAD {
            w8(r32(place), DEAD);
            dropped += 1;
        }
    }
    if dropped != 0 {
        HAS_DEAD.set(true);
        reject_times(GUEST.get(), ATTRIBUTE_COUNT, dropped);
    }
    dropped
}

/// Say of the attributes of the list which are among those of a span, from `start` to `end`; gives how many are not.
pub fn count_new(start: u32, end: u32) -> u32 {
    let mut new = 0;
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        let (key, key_len) = key_of(r32(place));
        if find(start, end, OF_SPAN, key, key_len) != 0 {
            w32(place + 4, r32(place + 4) | IS_FIXED);
        } else {
            new += 1;
        }
        index += 1;
    }
    new
}

/// Drop the note on what was cut, if it is new to the span. Gives how many attributes that are.
pub fn drop_note() -> u32 {
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        if r32(place + 4) == IS_TRUNCATED {
            w8(r32(place), DEAD);
            HAS_DEAD.set(true);
            return 1;
        }
        index += 1;
    }
    0
}

/// Whether a dead entry is among those of the list, or of the fixed ones.
pub fn has_dead() -> bool {
    HAS_DEAD.get()
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

#[inline(always)]
fn has_key(entry: u32, key: u32, key_len: u32) -> bool {
    let (there, size) = key_of(entry);
    size == key_len && is_equal(there, key, key_len)
}

/// One of 64 bits for a key, so that most keys are known to be new without a look at the others.
#[inline(always)]
pub fn bloom_bit(key: u32, key_len: u32) -> u64 {
    let mixed = if key_len >= 8 {
        r64(key) ^ r64(key + key_len - 8).rotate_left(29)
    } else {
        r64(key) << (8 * (8 - key_len) & 63)
    };
    1 << ((mixed ^ u64::from(key_len)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
}

#[inline(always)]
pub fn is_reserved(key: u32, key_len: u32) -> bool {
    key_len >= 5
        && r32(key) == TEXT_WASM
        && (r8(key + 4) == u32::from(b'.')
            || (key_len >= 10 && r32(key + 4) == TEXT_SCOP && r16(key + 8) == TEXT_E_DOT))
}

/// Write a varint; up to 10 bytes.
#[inline(always)]
pub fn varint(at: u32, value: u64) -> u32 {
    if value < 128 {
        w8(at, value as u32);
        return at + 1;
    }
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
#[inline(always)]
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
#[inline(always)]
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

/// Read any value at SOURCE and write the fields of its AnyValue. Sets STOP if it is malformed.
fn value(to: u32, depth: u32) -> u32 {
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
            // No overflow: neither is larger than a list.
            ELEMENTS.set(ELEMENTS.get() + count);
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

fn stop(to: u32) -> u32 {
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

// Notes on what was cut.

fn note(size: i64) {
    let need = NOTES_LEN.get() + 8 + NAME_LEN.get() + 24;
    if need > NOTES_CAP.get() {
        let block = heap::alloc(need * 2);
        if block == 0 {
            return;
        }
        let (old, cap) = (NOTES.get(), NOTES_CAP.get());
        move_bytes(block, old, NOTES_LEN.get());
        NOTES.set(block);
        NOTES_CAP.set(need * 2);
        heap::free(old, cap);
    }
    let at = NOTES.get() + NOTES_LEN.get();
    w32(at, NO_INDEX);
    move_bytes(at + 8, NAME.get(), NAME_LEN.get());
    let mut end = at + 8 + NAME_LEN.get();
    w8(end, u32::from(b'='));
    end += 1;
    end += decimal(end, size);
    w32(at + 4, end - at - 8);
    NOTES_LEN.set(end - NOTES.get());
}

/// Say whose the notes from `from` on are.
fn number_notes(from: u32, index: u32) {
    let mut at = NOTES.get() + from;
    while at < NOTES.get() + NOTES_LEN.get() {
        w32(at, index);
        at += 8 + r32(at + 4);
    }
}

/// An attribute came again: what was cut of it before is of no interest.
fn forget_notes(until: u32, index: u32) {
    let mut at = NOTES.get();
    while at < NOTES.get() + until {
        if r32(at) == index {
            w32(at, NO_INDEX);
        }
        at += 8 + r32(at + 4);
    }
}

/// Write the attribute that says what was cut.
fn put_notes(at: u32, tag: u32) -> u32 {
    let end = NOTES.get() + NOTES_LEN.get();
    let mut count = 0;
    let mut note = NOTES.get();
    while note < end {
        count += (r32(note) != NO_INDEX) as u32;
        note += 8 + r32(note + 4);
    }
    if count == 0 {
        return at;
    }
    // A note has at most 8 bytes more of heads than it has in the notes.
    let room = work::more(at, NOTES_LEN.get() + 128 + FIXED_END.get() - FIXED_START.get());
    if room == 0 {
        return at;
    }
    let moved = room.wrapping_sub(at);
    let at = room;
    if moved != 0 {
        let mut index = 0;
        while index < GIVEN.get() {
            let place = ORDER.get() + index * 8;
            w32(place, r32(place).wrapping_add(moved));
            index += 1;
        }
        if FIXED_END.get() != 0 {
            FIXED_START.set(FIXED_START.get().wrapping_add(moved));
            FIXED_BASE.set(FIXED_BASE.get().wrapping_add(moved));
            FIXED_END.set(FIXED_END.get().wrapping_add(moved));
        }
    }
    let name = TRUNCATED.as_ptr() as u32;
    w8(at, tag);
    w8(at + 2, 0x0a);
    w8(at + 3, TRUNCATED_LEN);
    copy_loosely(at + 4, name, TRUNCATED_LEN);
    let value_at = at + 4 + TRUNCATED_LEN;
    w8(value_at, 0x12);
    w8(value_at + 2, 0x2a);
    let mut to = value_at + 4;
    let mut is_first = true;
    let mut index = 0;
    let given = GIVEN.get();
    while index <= given {
        let wanted = if is_first { BODY_INDEX } else { index };
        let mut note = NOTES.get();
        while note < end {
            let size = r32(note + 4);
            if r32(note) == wanted {
                w8(to, 0x0a);
                w8(to + 2, 0x0a);
                let text = varint(to + 3, u64::from(size));
                move_bytes(text, note + 8, size);
                to = fix_length(to + 1, text + size);
                count -= 1;
            }
            note += 8 + size;
        }
        if is_first {
            is_first = false;
            if count == 0 {
                to = put_fixed_notes(to);
            }
        } else {
            index += 1;
        }
        if count == 0 {
            break;
        }
    }
    to = fix_length(value_at + 3, to);
    to = fix_length(value_at + 1, to);
    to = fix_length(at + 1, to);
    if enter(at, NOTES_LEN.get(), IS_TRUNCATED) { to } else { at }
}

/// The items of the note that is among the fixed entries: a body was cut, and attributes of the call site were.
fn put_fixed_notes(to: u32) -> u32 {
    let known = find_fixed_notes();
    if known == 0 {
        return to;
    }
    let (key, key_len) = key_of(known);
    let next = next_entry(known);
    // Behind the key: the tag and length of the value, those of the array.
    let p = skip_varint(skip_varint(key + key_len + 1) + 1);
    move_bytes(to, p, next - p);
    to + (next - p)
}

fn find_fixed_notes() -> u32 {
    let mut at = FIXED_START.get();
    while at < FIXED_END.get() {
        if r8(at) != DEAD && has_key(at, TRUNCATED.as_ptr() as u32, TRUNCATED_LEN) {
            return at;
        }
        at = next_entry(at);
    }
    0
}

fn grow_order(count: u32) -> bool {
    let block = heap::alloc(count * 8);
    if block == 0 {
        return false;
    }
    let (old, cap) = (ORDER.get(), ORDER_CAP.get());
    ORDER.set(block);
    ORDER_CAP.set(heap::rounded(count * 8) / 8);
    heap::free(old, cap * 8);
    true
}

/// Copy entries that were encoded with one tag for a field with another.
#[inline(always)]
pub fn put_fixed(to: u32, fixed: P<Fixed>, from_tag: u32, tag: u32) -> u32 {
    let size = fixed.len;
    if size == 0 {
        return to;
    }
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

/// Check a list and write it again, in the work buffer, as it is meant: each key once, cut, repaired, with the note on
/// what was cut, and of plain types only. That is a set of attributes for measurements. Gives where it ends, 0 if there
/// is no memory; it begins at `plain_start()`.
pub fn plain(guest: P<Guest>, source: u32, size: u32) -> u32 {
    begin(guest);
    let start = work::get(bound(P::NONE, size));
    if start == 0 {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    let end = encode(P::NONE, source, size, start, OF_SPAN);
    let size = compact(work::base(), end) - work::base();
    // At worst, a small integer: one byte for nine.
    let to = work::more(work::base() + size, size * 3 + 64);
    if to == 0 {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    PLAIN.set(to);
    put_plain(guest, to, work::base(), to)
}

static PLAIN: Var<u32> = Var::new(0);

/// Where the list begins that `plain` wrote.
pub fn plain_start() -> u32 {
    PLAIN.get()
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

/// Write entries as a packed list again, as a set of attributes for measurements: values of other types than strings,
/// bools, integers, floats and arrays of one of these are counted and dropped. Gives where it ends.
fn put_plain(guest: P<Guest>, to: u32, start: u32, end: u32) -> u32 {
    let mut to = to;
    let mut entry = start;
    while entry < end {
        let next = next_entry(entry);
        let (key, key_len) = key_of(entry);
        // Behind the key: the tag and length of the value.
        let p = skip_varint(key + key_len + 1);
        w16(to, key_len);
        move_bytes(to + 2, key, key_len);
        let at = put_plain_value(to + 2 + key_len, p, next);
        if at == 0 {
            reject_text(guest, ATTRIBUTE_TYPE, key, key_len);
        } else {
            to = at;
        }
        entry = next;
    }
    to
}

/// Write an AnyValue that lies between two addresses as a packed value; 0 if it is of no plain type.
fn put_plain_value(to: u32, from: u32, end: u32) -> u32 {
    if from == end {
        return 0;
    }
    let tag = r8(from);
    if tag != 0x2a {
        return put_scalar(to, from, end);
    }
    let mut p = skip_varint(from + 1);
    w8(to, ARRAY);
    let mut at = to + 5;
    let mut count = 0;
    let mut first = 0;
    while p < end {
        let next = next_entry(p);
        p = skip_varint(p + 1);
        if p == next {
            return 0;
        }
        let tag = r8(p);
        if count != 0 && tag != first {
            return 0;
        }
        first = tag;
        at = put_scalar(at, p, next);
        if at == 0 {
            return 0;
        }
        count += 1;
        p = next;
    }
    w32(to + 1, count);
    at
}

fn put_scalar(to: u32, from: u32, end: u32) -> u32 {
    match r8(from) {
        0x0a => {
            let p = skip_varint(from + 1);
            w8(to, STRING);
            w32(to + 1, end - p);
            move_bytes(to + 5, p, end - p);
            to + 5 + (end - p)
        }
        0x10 => {
            w8(to, BOOL);
            w8(to + 1, r8(from + 1));
            to + 2
        }
        0x18 => {
            let mut number = 0;
            let mut shift = 0;
            let mut p = from + 1;
            while p < end {
                number |= u64::from(r8(p) & 0x7f) << (shift & 63);
                shift += 7;
                p += 1;
            }
            w8(to, I64);
            w64(to + 1, number);
            to + 9
        }
        0x21 => {
            w8(to, F64);
            w64(to + 1, r64(from + 1));
            to + 9
        }
        _ => 0,
    }
}

/// After a trap: mark what is kept between lists.
pub fn mark() {
    heap::mark(ORDER.get(), ORDER_CAP.get() * 8);
    heap::mark(NOTES.get(), NOTES_CAP.get());
}
