//! What is replaced in an open span: its status and its name.

use super::target::{TARGET_GUEST, find};
use super::{Body, ERROR, OK, SLACK, may_hold_memory};
use crate::control::limits;
use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, Var, fence, w8};
use crate::operation;
use crate::packed;
use crate::ranges;
use crate::rejections::{KEPT_BYTES, STATUS, reject, reject_number};
use crate::text;

static TEXT_LEN: Var<u32> = Var::new(0);

/// How much memory the block of a text of so many bytes takes; none if there is no block.
#[inline(never)]
pub fn text_cap(block: u32, len: u32) -> u32 {
    if block == 0 { 0 } else { heap::rounded(len + SLACK) }
}

/// Copy a text of the call, cut and repaired, into a block of its own. 0 if it is empty or there is no memory. TEXT_LEN
/// has its length.
fn copy_text(guest: P<Guest>, text_len: i64, limit: u32) -> u32 {
    ranges::begin();
    let there = ranges::text_size(text_len, limit);
    let from = ranges::take(there);
    TEXT_LEN.set(0);
    if !ranges::is_readable(guest, text_len) {
        return 0;
    }
    let size = ranges::cut(from, there, limit);
    if size == 0 {
        return 0;
    }
    let sure = if text::is_utf8(from, size) { size } else { text::repaired_size(from, size) };
    let cap = heap::rounded(sure + SLACK);
    let block = if may_hold_memory(TARGET_GUEST.get(), cap) { heap::alloc(cap) } else { 0 };
    if block == 0 {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    text::put(guest, block, from, size);
    TEXT_LEN.set(sure);
    block
}

/// The ABI's `span_status`.
pub fn status(guest: P<Guest>, handle: i64, code: u32, text_len: i64) {
    let slot = find(guest, handle);
    if slot.is_none() {
        return;
    }
    if code > u32::from(ERROR) {
        reject_number(guest, STATUS, i64::from(code));
        return;
    }
    let block = if code == u32::from(ERROR) && text_len != 0 { copy_text(guest, text_len, limits().name) } else { 0 };
    let text_len = if block == 0 { 0 } else { TEXT_LEN.get() };
    let mut body: P<Body> = P::at(slot.body);
    // OpenTelemetry's rule: OK is final, and unset changes nothing.
    if code == 0 || body.status_code == OK {
        heap::free(block, text_len + SLACK);
        return;
    }
    let (old, old_len) = (body.status, body.status_len);
    let (cap, old_cap) = (text_cap(block, text_len), text_cap(old, old_len));
    let mut owner = TARGET_GUEST.get();
    fence();
    body.status_code = code as u8;
    body.status = block;
    body.status_len = text_len;
    owner.held_bytes = owner.held_bytes + u64::from(cap) - u64::from(old_cap);
    operation::commit();
    heap::free(old, old_cap);
}

/// The ABI's `span_rename`.
pub fn rename(guest: P<Guest>, handle: i64, text_len: i64) {
    let slot = find(guest, handle);
    if slot.is_none() || text_len == 0 {
        return;
    }
    let block = copy_text(guest, text_len, limits().name);
    if block == 0 {
        return;
    }
    let mut body: P<Body> = P::at(slot.body);
    let (old, old_len) = (body.name, body.name_len);
    let (cap, old_cap) = (text_cap(block, TEXT_LEN.get()), text_cap(old, old_len));
    let mut owner = TARGET_GUEST.get();
    // The first entry is the name that it was started with, unless it has another one already.
    let entry = body.0 + body.entries;
    let dead = if body.has_name == 0 { packed::next_entry(entry) - entry } else { 0 };
    fence();
    body.name = block;
    body.name_len = TEXT_LEN.get();
    if dead != 0 {
        body.has_name = 1;
        body.dead += dead;
        body.dead_entries = body.dead_entries.saturating_add(1);
        w8(entry, 0);
    }
    owner.held_bytes = owner.held_bytes + u64::from(cap) - u64::from(old_cap);
    operation::commit();
    heap::free(old, old_cap);
}
