//! Notes on what was cut, which become the attribute `wasmscope.truncated`.

use super::DEAD;
use super::entries::{has_key, key_of, next_entry};
use super::keys::{FIXED_END, FIXED_START, GIVEN, IS_TRUNCATED, enter};
use super::region::ensure;
use crate::heap;
use crate::memory::{Var, copy_loosely, move_bytes, r8, r32, w8, w32};
use crate::protobuf::{fix_length, skip_varint, varint};
use crate::rejections::decimal;

const TRUNCATED: &[u8; 24] = b"wasmscope.truncated\0\0\0\0\0";
const TRUNCATED_LEN: u32 = 19;

/// Of the attribute that is being read: its key.
pub static NAME: Var<u32> = Var::new(0);
pub static NAME_LEN: Var<u32> = Var::new(0);

// Each note: index in the order, length, bytes.
pub static NOTES: Var<u32> = Var::new(0);
pub static NOTES_CAP: Var<u32> = Var::new(0);
pub static NOTES_LEN: Var<u32> = Var::new(0);
const NO_INDEX: u32 = 0xffff_ffff;
const BODY_INDEX: u32 = 0xffff_fffe;

static BODY: [u8; 4] = *b"body";

/// Note that a log's body was cut.
pub fn note_body(size: i64) {
    NAME.set(BODY.as_ptr() as u32);
    NAME_LEN.set(4);
    note(size);
    if NOTES_LEN.get() != 0 {
        w32(NOTES.get(), BODY_INDEX);
    }
}

/// Note that a value of so many bytes was cut, of the attribute at NAME.
pub fn note(size: i64) {
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
pub fn number_notes(from: u32, index: u32) {
    let mut at = NOTES.get() + from;
    while at < NOTES.get() + NOTES_LEN.get() {
        w32(at, index);
        at += 8 + r32(at + 4);
    }
}

/// An attribute came again: what was cut of it before is of no interest.
pub fn forget_notes(until: u32, index: u32) {
    let mut at = NOTES.get();
    while at < NOTES.get() + until {
        if r32(at) == index {
            w32(at, NO_INDEX);
        }
        at += 8 + r32(at + 4);
    }
}

/// Write the attribute that says what was cut.
pub fn put_notes(at: u32, tag: u32) -> u32 {
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
