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
/// A bit of the keys that are there: so most keys are known to be new without a look at the others.
static BLOOM: Var<Bloom> = Var::new([0; 4]);

pub type Bloom = [u64; 4];

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

// The record that is being made: it begins at START, and may be written up to LIMIT and a little more. Where that is not
// enough, it moves to the work buffer.
static START: Var<u32> = Var::new(0);
static LIMIT: Var<u32> = Var::new(0);
/// Room behind LIMIT, to write loosely.
pub const SLACK: u32 = 64;

/// Say where the record begins that the list is part of, and where the room for it ends.
#[inline(always)]
pub fn region(start: u32, end: u32) {
    START.set(start);
    LIMIT.set(end - SLACK);
}

/// As `region`, of a record in the work buffer.
#[inline(always)]
pub fn region_in_work() {
    region(work::base(), work::end());
}

/// Where the record begins now: it moves when it needs more room.
#[inline(always)]
pub fn start() -> u32 {
    START.get()
}

/// Have room for so many bytes behind `at`. Gives where that is now; 0 if there is no memory.
#[inline(always)]
fn ensure(at: u32, bytes: u64) -> u32 {
    if u64::from(LIMIT.get()) >= u64::from(at) + bytes { at } else { relocate(at, bytes + u64::from(SLACK)) }
}

#[inline(never)]
fn relocate(at: u32, bytes: u64) -> u32 {
    let start = START.get();
    let wanted = u64::from(at - start) + bytes;
    let room = if start == work::base() {
        work::more(at, bytes)
    } else {
        let base = work::get(wanted);
        if base == 0 {
            return 0;
        }
        move_bytes(base, start, at - start);
        base + (at - start)
    };
    if room == 0 {
        return 0;
    }
    let moved = room.wrapping_sub(at);
    let mut index = 0;
    while index < GIVEN.get() {
        let place = ORDER.get() + index * 8;
        w32(place, r32(place).wrapping_add(moved));
        index += 1;
    }
    FIXED_START.set(FIXED_START.get().wrapping_add(moved));
    FIXED_BASE.set(FIXED_BASE.get().wrapping_add(moved));
    FIXED_END.set(FIXED_END.get().wrapping_add(moved));
    region_in_work();
    room
}

/// Get ready for a list.
#[inline(always)]
pub fn begin(guest: P<Guest>) {
    GUEST.set(guest);
    GIVEN.set(0);
    NOTES_LEN.set(0);
    HAS_DEAD.set(false);
    IS_HOSTS.set(false);
    BLOOM.set([0; 4]);
    FIXED_START.set(0);
    FIXED_BASE.set(0);
    FIXED_END.set(0);
}

/// Say which entries are there already; of those up to `base_end`, the list can change none.
#[inline(always)]
pub fn begin_with(start: u32, base_end: u32, end: u32, bloom: Bloom) {
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

/// Encode a list at `to`, in the record that `region` speaks of, which may move. Gives where it ends.
#[inline(always)]
pub fn encode(site: P<Site>, source: u32, size: u32, to: u32, tag: u32) -> u32 {
    if size == 0 && NOTES_LEN.get() == 0 {
        return to;
    }
    encode_list(site, source, size, to, tag)
}

/// A key of so many bytes has a length of one byte, however it is repaired.
const SHORT_KEY: u32 = 42;
/// A text of so many bytes makes an entry with lengths of one byte.
const SHORT_TEXT: u32 = 72;

#[inline(never)]
fn encode_list(site: P<Site>, source: u32, size: u32, to: u32, tag: u32) -> u32 {
    let guest = GUEST.get();
    let end = source + size;
    let most = limit_of_attributes();
    if ORDER_CAP.get() < most + 2 && !grow_order(most + 2) {
        reject(guest, KEPT_BYTES);
        return to;
    }
    let short_key = if limit_of_key() < SHORT_KEY { limit_of_key() } else { SHORT_KEY };
    let short_text = if limit_of_value() < SHORT_TEXT { limit_of_value() } else { SHORT_TEXT };
    let field_count = site.field_count;
    STOP.set(0);
    ELEMENTS.set(0);
    END.set(end);
    let mut p = source;
    let mut at = to;
    let mut count = 0;
    'list: while p < end {
        if count == most {
            STOP.set(ATTRIBUTE_COUNT);
            break;
        }
        count += 1;
        // Most attributes: a short key in ASCII, a scalar, and room. Whatever else it may be is for the careful reader,
        // which alone counts.
        'usual: {
            let head = r16(p);
            let left = end - p;
            let key = at + 4;
            let mut key_len = head;
            let mut value = p + 2;
            // What was just written is slow to read in other pieces.
            let mut from = value;
            if head < 0x8000 {
                // At least the kind and a byte must follow.
                if head.wrapping_sub(1) >= short_key || head + 4 > left || !text::put_ascii(key, from, head) {
                    break 'usual;
                }
                if is_reserved(from, head) {
                    break 'usual;
                }
                value += head;
            } else {
                let index = head & 0x7fff;
                if index >= field_count || left < 4 {
                    break 'usual;
                }
                key_len = r32(site.fields + index * 8 + 4);
                if key_len > SHORT_KEY {
                    break 'usual;
                }
                from = r32(site.fields + index * 8);
                copy_loosely(key, from, key_len);
            }
            let left = end - value;
            let to = key + key_len;
            if to + 16 > LIMIT.get() {
                break 'usual;
            }
            let next;
            let size;
            match r8(value) {
                STRING => {
                    if left < 5 {
                        break 'usual;
                    }
                    let length = r32(value + 1);
                    if length > short_text
                        || length > left - 5
                        || to + length > LIMIT.get()
                        || !text::put_good(to + 4, value + 5, length)
                    {
                        break 'usual;
                    }
                    w32(to, 0x000a_0012 | (length + 2) << 8 | length << 24);
                    size = length + 4;
                    next = value + 5 + length;
                }
                BOOL => {
                    w32(to, 0x0010_0212 | ((r8(value + 1) != 0) as u32) << 24);
                    size = 4;
                    next = value + 2;
                }
                I64 => {
                    if left < 9 {
                        break 'usual;
                    }
                    let number = r64(value + 1);
                    let number_end = if number < 128 {
                        w8(to + 3, number as u32);
                        to + 4
                    } else {
                        varint(to + 3, number)
                    };
                    w16(to, 0x12 | (number_end - to - 2) << 8);
                    w8(to + 2, 0x18);
                    size = number_end - to;
                    next = value + 9;
                }
                F64 => {
                    if left < 9 {
                        break 'usual;
                    }
                    w32(to, 0x0021_0912);
                    w64(to + 3, r64(value + 1));
                    size = 11;
                    next = value + 9;
                }
                _ => break 'usual,
            }
            // All lengths are below 128: 42 + 72 + 8 at most.
            w32(at, tag | (key_len + size + 2) << 8 | 0x0a << 16 | key_len << 24);
            let next_at = to + size;
            let index = GIVEN.get();
            if take_bloom_bit(from, key_len) {
                let place = ORDER.get() + index * 8;
                w32(place, at);
                w32(place + 4, 0);
                GIVEN.set(index + 1);
                at = next_at;
            } else if enter(at, NOTES_LEN.get(), 0) {
                at = next_at;
            }
            p = next;
            continue 'list;
        }
        SOURCE.set(p);
        at = attribute(site, at, tag);
        p = SOURCE.get();
        if STOP.get() != 0 {
            break;
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

/// Read any attribute at SOURCE. Gives where its entry ends; sets STOP if the rest of the list cannot be read.
#[inline(never)]
fn attribute(site: P<Site>, to: u32, tag: u32) -> u32 {
    let guest = GUEST.get();
    let mut p = SOURCE.get();
    let left = END.get() - p;
    if left < 2 {
        return stop(to);
    }
    let head = r16(p);
    p += 2;
    let is_field = head & 0x8000 != 0;
    let mut from = p;
    let mut size = head;
    let mut is_kept = true;
    if is_field {
        let index = head & 0x7fff;
        is_kept = index < site.field_count;
        if is_kept {
            from = r32(site.fields + index * 8);
            size = r32(site.fields + index * 8 + 4);
        } else {
            size = 0;
            reject_number(guest, ATTRIBUTE_FIELD, i64::from(index));
        }
    } else {
        if left - 2 < head {
            return stop(to);
        }
        p += head;
        if head == 0 || head > limit_of_key() {
            is_kept = false;
            size = 0;
            reject_number(guest, ATTRIBUTE_KEY, i64::from(head));
        }
    }
    // Of what follows, nothing gets longer than four times what it is.
    let rest = u64::from(END.get() - p) * 4;
    let start = ensure(to, u64::from(size) * 3 + value_bound(p, rest) + 64);
    if start == 0 {
        STOP.set(KEPT_BYTES);
        return to;
    }
    let sure = text::repaired_size(from, size);
    let key = start + if sure < 128 { 4 } else { 5 };
    let key_len = text::put(guest, key, from, size) - key;
    if !is_field && is_kept && is_reserved(key, key_len) && !IS_HOSTS.get() {
        reject_text(guest, ATTRIBUTE_RESERVED, key, key_len);
        is_kept = false;
    }
    let noted = NOTES_LEN.get();
    NAME.set(key);
    NAME_LEN.set(key_len);
    SOURCE.set(p);
    let value_at = key + key_len;
    let mut at = value(value_at + 2, 0);
    if STOP.get() != 0 || !is_kept {
        NOTES_LEN.set(noted);
        return start;
    }
    at = fix_length(value_at + 1, at);
    w8(value_at, 0x12);
    w8(start, tag);
    w8(start + 2, 0x0a);
    varint(start + 3, u64::from(key_len));
    at = fix_length(start + 1, at);
    if enter(start, noted, 0) { at } else { start }
}

/// How many bytes a value takes at most, `rest` if that is not known.
fn value_bound(p: u32, rest: u64) -> u64 {
    if END.get() - p.min(END.get()) >= 5 && (r8(p) == STRING || r8(p) == BYTES) {
        let size = r32(p + 1);
        let limit = limit_of_value();
        let bound = u64::from(if size < limit { size } else { limit }) * 3;
        if bound < rest {
            return bound;
        }
    }
    rest
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
    take_bloom_bit(key, key_len);
    number_notes(noted, index);
    true
}

/// How many attributes came, those of keys that were there before left out.
pub fn given() -> u32 {
    GIVEN.get()
}

pub fn bloom() -> Bloom {
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

#[inline(never)]
fn has_key(entry: u32, key: u32, key_len: u32) -> bool {
    let (there, size) = key_of(entry);
    size == key_len && is_equal(there, key, key_len)
}

/// One of 256 bits for a key.
#[inline(always)]
fn bloom_hash(key: u32, key_len: u32) -> u32 {
    let mixed = if key_len >= 8 {
        r64(key) ^ r64(key + key_len - 8).rotate_left(29)
    } else {
        r64(key) << ((64 - 8 * key_len) & 63)
    };
    ((mixed ^ u64::from(key_len)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u32
}

/// Note a key; false if one with the same bit is noted already.
#[inline(always)]
fn take_bloom_bit(key: u32, key_len: u32) -> bool {
    let hash = bloom_hash(key, key_len);
    let word = BLOOM.address() + (hash >> 6) * 8;
    let bit = 1 << (hash & 63);
    let old = r64(word);
    w64(word, old | bit);
    old & bit == 0
}

/// The bit of one key.
pub fn add_to_bloom(bloom: P<Bloom>, key: u32, key_len: u32) {
    let hash = bloom_hash(key, key_len);
    let word = bloom.0 + (hash >> 6) * 8;
    w64(word, r64(word) | 1 << (hash & 63));
}

#[inline(always)]
pub fn joined(a: &Bloom, b: &Bloom) -> Bloom {
    [a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]]
}

#[inline(always)]
pub fn may_meet(a: &Bloom, b: &Bloom) -> bool {
    a[0] & b[0] | a[1] & b[1] | a[2] & b[2] | a[3] & b[3] != 0
}

#[inline(always)]
pub fn is_reserved(key: u32, key_len: u32) -> bool {
    key_len >= 5
        && r32(key) == TEXT_WASM
        && (r8(key + 4) == u32::from(b'.')
            || (key_len >= 10 && r32(key + 4) == TEXT_SCOP && r16(key + 8) == TEXT_E_DOT))
}

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
    // A note has no more bytes of heads than it has in the notes.
    let before = at;
    let at = ensure(at, u64::from(NOTES_LEN.get()) + 128 + u64::from(FIXED_END.get() - FIXED_START.get()));
    if at == 0 {
        return before;
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

/// Count what is wrong with a list that is a set of attributes for measurements: their values are strings, bools,
/// integers, floats and arrays of one of these.
pub fn plain(guest: P<Guest>, source: u32, size: u32) {
    begin(guest);
    if work::get(u64::from(size) + 1_024) == 0 {
        reject(guest, KEPT_BYTES);
        return;
    }
    region_in_work();
    let end = encode(crate::sites::nothing(), source, size, work::base(), OF_SPAN);
    let mut entry = start();
    while entry < end {
        let (key, key_len) = key_of(entry);
        let next = next_entry(entry);
        // Behind the key: the tag and length of the value.
        if r8(entry) != DEAD && !is_plain(skip_varint(key + key_len + 1), next) {
            reject_text(guest, ATTRIBUTE_TYPE, key, key_len);
        }
        entry = next;
    }
}

/// Whether an AnyValue that lies between two addresses is of a plain type, or an array of one.
fn is_plain(from: u32, end: u32) -> bool {
    if from == end || r8(from) != 0x2a {
        return from != end && is_scalar(r8(from));
    }
    let mut p = skip_varint(from + 1);
    let mut first = 0;
    while p < end {
        let next = next_entry(p);
        p = skip_varint(p + 1);
        if p == next || !is_scalar(r8(p)) || (first != 0 && r8(p) != first) {
            return false;
        }
        first = r8(p);
        p = next;
    }
    true
}

fn is_scalar(tag: u32) -> bool {
    tag == 0x0a || tag == 0x10 || tag == 0x18 || tag == 0x21
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

/// After a trap: mark what is kept between lists.
pub fn mark() {
    heap::mark(ORDER.get(), ORDER_CAP.get() * 8);
    heap::mark(NOTES.get(), NOTES_CAP.get());
}
