//! Packed attribute lists: checked, and encoded as OTLP KeyValues ("Packed data" in docs/abi.md).
//!
//! An entry is one KeyValue with the tag of the field it goes into and its length before it. Entries lie one behind the
//! other. One whose tag is 0 is dead: its key came again, or there was one too many.

mod bloom;
mod entries;
mod keys;
mod list;
mod notes;
mod plain;
mod region;
mod value;

pub use bloom::{Bloom, add_to_bloom, bloom, joined, may_meet};
pub use entries::{compact, copy_living, find, key_of, next_entry, put_fixed, put_text_entry};
pub use keys::{begin_with, count_new, drop_last, drop_note, finish, given, has_dead, kept, replaced};
pub use list::encode;
pub use notes::note_body;
pub use plain::plain;
pub use region::{region, region_in_work, start};

use crate::control::{control, limits};
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, Var, r8, r16, r32};
use bloom::BLOOM;
use keys::{FIXED_BASE, FIXED_END, FIXED_START, GIVEN, HAS_DEAD, ORDER, ORDER_CAP};
use notes::{NOTES, NOTES_CAP, NOTES_LEN};

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

/// Longest key, whatever the limit says.
const LONGEST_KEY: u32 = 5_000;
/// Most attributes of one list, whatever the limit says.
const MOST: u32 = 65_536;

// The state of the reader. Not on the stack, so that the collector's stack pointer never moves.
static GUEST: Var<P<Guest>> = Var::new(P::NONE);
static SOURCE: Var<u32> = Var::new(0);
static END: Var<u32> = Var::new(0);
static STOP: Var<u32> = Var::new(0);
static ELEMENTS: Var<u32> = Var::new(0);
/// The list is the host's: keys may be reserved, and nothing is cut.
static IS_HOSTS: Var<bool> = Var::new(false);

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

/// Get ready for a list of a change to a span, be it the guest's or the host's.
pub fn begin_change(guest: P<Guest>) {
    begin(guest);
    IS_HOSTS.set(control().for_host != 0);
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
fn limit_of_key() -> u32 {
    let limit = limit_of_guests_key();
    if IS_HOSTS.get() { LONGEST_KEY } else { limit }
}

#[inline(always)]
pub fn limit_of_guests_key() -> u32 {
    let limit = limits().key;
    if limit > LONGEST_KEY { LONGEST_KEY } else { limit }
}

#[inline(always)]
fn limit_of_attributes() -> u32 {
    let limit = limits().attributes;
    if limit < MOST { limit } else { MOST }
}

#[inline(always)]
pub fn is_reserved(key: u32, key_len: u32) -> bool {
    key_len >= 5
        && r32(key) == TEXT_WASM
        && (r8(key + 4) == u32::from(b'.')
            || (key_len >= 10 && r32(key + 4) == TEXT_SCOP && r16(key + 8) == TEXT_E_DOT))
}

const TEXT_WASM: u32 = u32::from_le_bytes(*b"wasm");
const TEXT_SCOP: u32 = u32::from_le_bytes(*b"scop");
const TEXT_E_DOT: u32 = u16::from_le_bytes(*b"e.") as u32;

/// After a trap: mark what is kept between lists.
pub fn mark() {
    heap::mark(ORDER.get(), ORDER_CAP.get() * 8);
    heap::mark(NOTES.get(), NOTES_CAP.get());
}
