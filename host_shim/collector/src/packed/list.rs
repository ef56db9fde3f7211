//! The reader of a list: most attributes in one go, the others with care.

use super::bloom::take_bloom_bit;
use super::keys::{GIVEN, ORDER, ORDER_CAP, enter, grow_order};
use super::notes::{NAME, NAME_LEN, NOTES_LEN, put_notes};
use super::region::{LIMIT, ensure};
use super::value::{stop, value};
use super::{
    BOOL, BYTES, ELEMENTS, END, F64, GUEST, I64, IS_HOSTS, SOURCE, STOP, STRING, is_reserved, limit_of_attributes,
    limit_of_key, limit_of_value,
};
use crate::memory::{P, copy_loosely, r8, r16, r32, r64, w8, w16, w32, w64};
use crate::protobuf::{fix_length, varint};
use crate::rejections::{
    ATTRIBUTE_COUNT, ATTRIBUTE_FIELD, ATTRIBUTE_KEY, ATTRIBUTE_RESERVED, KEPT_BYTES, reject, reject_number, reject_text,
};
use crate::sites::Site;
use crate::text;

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
