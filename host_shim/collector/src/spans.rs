//! Spans (Span in opentelemetry/proto/trace/v1/trace.proto).
//!
//! What is recorded of an open span lies encoded in its body: fields of fixed size, then the name, attributes, events
//! and links as entries (see packed.rs) that are only added. What can change (status, a new name) lies in blocks of its
//! own until the end.
//!
//! Here is the body and the memory for it; each module below is something that is done with a span.

mod additions;
mod end;
mod exception;
mod replacements;
mod slow_start;
mod start;
mod target;

pub use additions::{attributes, event, link};
pub use end::{end, fail};
pub use exception::exception;
pub use replacements::{rename, status};
pub use start::{prepare, start};
pub use target::{exception_target, target};

use crate::contexts::{self, OPEN, Slot};
use crate::control::{control, limits};
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, fence, move_bytes, r8, w8};
use crate::packed::{self, Bloom, OF_SPAN};
use crate::rejections::{KEPT_BYTES, reject};
use crate::work;
use exception::REPORTED_CAP;
use replacements::text_cap;
use target::TARGET_GUEST;

/// What is recorded of an open span.
#[repr(C)]
struct Body {
    bloom: Bloom,
    /// Of the block.
    cap: u32,
    /// Where what is recorded ends, from the begin of the block.
    len: u32,
    /// Where the entries begin.
    entries: u32,
    /// Bytes of dead entries.
    dead: u32,
    /// From here on there are attributes whose keys may be there before, too; 0 if not.
    fresh: u32,
    attributes: u32,
    events: u32,
    links: u32,
    kept_bytes: u32,
    site: u32,
    /// From here on the attributes are those that were added, each of which counts; 0 if there are none.
    late: u32,
    status: u32,
    status_len: u32,
    name: u32,
    name_len: u32,
    status_code: u8,
    has_name: u8,
    /// How many entries are dead, as far as this goes.
    dead_entries: u16,
}

const BODY: u32 = core::mem::size_of::<Body>() as u32;
/// What most bodies get: a span with a few attributes.
const USUAL: u32 = 512;
/// So many dead entries are no harm.
const FEW: u32 = 16;
/// Fields of fixed size: ids, kind, time, flags; and room to write loosely.
const HEAD: u64 = 160;
const SLACK: u32 = 64;
const NAME: u32 = 0x2a;
const EVENT: u32 = 0x5a;
const LINK: u32 = 0x6a;
/// What an event or a link takes, whatever is in it.
const ITEM_BYTES: u32 = 256;
const OK: u8 = 1;
const ERROR: u8 = 2;
const SAMPLED: u32 = 1;
const RANDOM: u32 = 2;

/// Whether a guest's open spans may take so much memory more: many times what limits.kept_bytes counts, which are the
/// bytes that the guest sends.
#[inline(always)]
fn may_hold_memory(guest: P<Guest>, bytes: u32) -> bool {
    let most = u64::from(limits().kept_bytes) * 8 + u64::from(limits().open_spans) * 2048;
    guest.held_bytes + u64::from(bytes) <= most
}

/// Where something can be written behind what is recorded: in the body, if there is room for so many bytes, else in the
/// work buffer, to which it also moves if it gets longer. 0 and counted if there is no memory.
#[inline(always)]
fn place(guest: P<Guest>, body: P<Body>, bytes: u32) -> u32 {
    let at = body.0 + body.len;
    if u64::from(bytes) + u64::from(SLACK) <= u64::from(body.cap - body.len) {
        packed::region(at, body.0 + body.cap);
        return at;
    }
    let at = work::get(u64::from(bytes) + 1_024);
    if at == 0 {
        reject(guest, KEPT_BYTES);
    } else {
        packed::region_in_work();
    }
    at
}

/// Have what was written at `at` up to `end` behind what is recorded, but not yet part of it. Gives the body, which may
/// have moved; none and counted if there is no memory.
#[inline(always)]
fn append(guest: P<Guest>, slot: P<Slot>, at: u32, end: u32) -> P<Body> {
    let body: P<Body> = P::at(slot.body);
    if at == body.0 + body.len {
        return body;
    }
    append_slowly(guest, slot, at, end - at)
}

#[inline(never)]
fn append_slowly(guest: P<Guest>, slot: P<Slot>, from: u32, size: u32) -> P<Body> {
    let body: P<Body> = P::at(slot.body);
    if u64::from(size) + u64::from(SLACK) <= u64::from(body.cap - body.len) {
        move_bytes(body.0 + body.len, from, size);
        return body;
    }
    let new = living(body, size);
    if new.is_none() {
        reject(guest, KEPT_BYTES);
    } else {
        move_bytes(new.0 + new.len, from, size);
        replace(slot, new);
    }
    new
}

/// Copy what is recorded, without what is dead, to a block of its own with room for so many bytes more; none if there is
/// no memory.
fn living(body: P<Body>, more: u32) -> P<Body> {
    let mut wanted = u64::from(body.len - body.dead) + u64::from(more) + u64::from(SLACK);
    if body.dead != 0 {
        // What was replaced will be again: there is to be room for some of that.
        wanted += wanted / 8;
    }
    let cap = if wanted > u64::from(heap::MAX_BYTES) { 0 } else { heap::rounded(wanted as u32) };
    let may_be = cap != 0 && (cap <= body.cap || may_hold_memory(TARGET_GUEST.get(), cap));
    let block = if may_be { heap::alloc(cap) } else { 0 };
    if block == 0 {
        return P::NONE;
    }
    let mut new: P<Body> = P::at(block);
    move_bytes(block, body.0, body.entries);
    let late = if body.late == 0 { body.len } else { body.late };
    let mut end = packed::copy_living(block + body.entries, body.0 + body.entries, body.0 + late);
    new.late = if body.late == 0 { 0 } else { end - block };
    end = packed::copy_living(end, body.0 + late, body.0 + body.len);
    new.cap = cap;
    new.len = end - block;
    new.dead = 0;
    new.dead_entries = 0;
    new
}

fn replace(slot: P<Slot>, new: P<Body>) {
    let (mut slot, mut owner) = (slot, TARGET_GUEST.get());
    let old: P<Body> = P::at(slot.body);
    let old_cap = old.cap;
    fence();
    slot.body = new.0;
    owner.held_bytes = owner.held_bytes + u64::from(new.cap) - u64::from(old_cap);
    fence();
    heap::free(old.0, old_cap);
}

/// Give up what is dead when it is more than what is alive: so a change costs as much as the first ones, however many
/// there were.
fn tidy(slot: P<Slot>) {
    let body: P<Body> = P::at(slot.body);
    let living_entries = body.attributes + body.events + body.links;
    if body.dead > body.len - body.dead + USUAL || u32::from(body.dead_entries) > living_entries + FEW {
        let new = living(body, 0);
        if !new.is_none() {
            replace(slot, new);
        }
    }
}

/// The entries from `fresh` on replace those before with the same keys.
fn settle(body: P<Body>) {
    let mut body = body;
    if body.fresh == 0 {
        return;
    }
    let end = body.0 + body.len;
    let fresh = body.0 + body.fresh;
    let mut at = fresh;
    while at < end {
        if r8(at) == OF_SPAN {
            let (key, key_len) = packed::key_of(at);
            let old = packed::find(body.0 + body.entries, fresh, OF_SPAN, key, key_len);
            if old != 0 {
                let size = packed::next_entry(old) - old;
                w8(old, 0);
                body.dead += size;
                body.dead_entries = body.dead_entries.saturating_add(1);
            }
        }
        at = packed::next_entry(at);
    }
    fence();
    body.fresh = 0;
}

/// Mark the blocks of what a guest's open spans record, and sum up what they take.
pub fn mark(guest: P<Guest>) {
    let mut guest = guest;
    guest.open = 0;
    guest.kept_bytes = 0;
    guest.held_bytes = 0;
    let mut index = 0;
    while index < guest.slots {
        let mut slot = contexts::slot_at(guest, index);
        slot.entered = 0;
        if slot.state == OPEN {
            guest.open += 1;
            control().open_spans += 1;
            if slot.body != 0 {
                let body: P<Body> = P::at(slot.body);
                heap::mark(body.0, body.cap);
                let status_cap = text_cap(body.status, body.status_len);
                let name_cap = text_cap(body.name, body.name_len);
                heap::mark(body.status, status_cap);
                heap::mark(body.name, name_cap);
                guest.kept_bytes += u64::from(body.kept_bytes);
                guest.held_bytes += u64::from(body.cap) + u64::from(status_cap) + u64::from(name_cap);
                settle(body);
            }
        }
        index += 1;
    }
}

/// Mark the blocks that are of no guest.
pub fn mark_reported() {
    heap::mark(control().reported_ptr, REPORTED_CAP.get());
}
