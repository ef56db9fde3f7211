//! The end of a span: what was recorded of it becomes a record that the host takes.

use super::exception::EXCEPTION;
use super::replacements::text_cap;
use super::{BODY, Body, ERROR, EVENT, NAME, OK, SAMPLED, USUAL};
use crate::contexts::{self, CURRENT, LOST, Slot};
use crate::control::{UNSAMPLED, control};
use crate::guests::Guest;
use crate::heap;
use crate::host;
use crate::memory::{P, copy_loosely, fence, move_bytes, w8, w16, w64};
use crate::operation;
use crate::output;
use crate::packed::{self, OF_EVENT};
use crate::protobuf::{fix_length, varint, varint_size};
use crate::ranges;
use crate::rejections::ENDED;
use crate::sites;
use crate::work;

/// The ABI's `span_end`.
#[inline(always)]
pub fn end(guest: P<Guest>, handle: i64) {
    let slot = contexts::open_slot(guest, handle);
    if slot.is_none() {
        end_other(guest, handle);
        return;
    }
    if slot.entered != 0 {
        contexts::take_off(guest, slot, handle);
    }
    end_open(guest, slot, contexts::index_of(handle), 0, 0, 0, 0, 0);
}

#[inline(never)]
fn end_other(guest: P<Guest>, handle: i64) {
    if handle != CURRENT && handle != LOST && !contexts::forget_remote(guest, handle) {
        contexts::reject_span(guest, handle, ENDED);
    }
}

/// End an open span: at a time, or now if that is 0; with an event more; with status ERROR and a text if there is one.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn end_open(
    guest: P<Guest>,
    slot: P<Slot>,
    index: u32,
    end_ns: u64,
    event: u32,
    event_len: u32,
    reason: u32,
    reason_len: u32,
) {
    let mut guest = guest;
    let body: P<Body> = P::at(slot.body);
    if body.is_none() {
        contexts::end_slot(guest, slot, index);
        guest.spans_ended += 1;
        operation::commit();
        return;
    }
    let time = if end_ns != 0 { end_ns } else { host::now() };
    let is_wanted = u32::from(slot.context.flags) & SAMPLED != 0 || control().flags & UNSAMPLED != 0;
    let mut at = 0;
    let mut end = 0;
    if is_wanted {
        output::age(guest, time);
        let (mut status_code, mut status, mut status_len) = (body.status_code, body.status, body.status_len);
        if reason != 0 && status_code != OK {
            (status_code, status, status_len) = (ERROR, reason, reason_len);
        }
        let mut status_size = 0;
        if status_code != 0 {
            status_size = 2;
            if status_len != 0 {
                status_size += 1 + varint_size(u64::from(status_len)) + status_len;
            }
        }
        let mut size =
            body.len - BODY - body.dead + 9 + 1 + varint_size(u64::from(status_size)) + status_size + event_len;
        if body.has_name != 0 {
            size += 1 + varint_size(u64::from(body.name_len)) + body.name_len;
        }
        at = output::room::<false>(guest, u64::from(size) + 8);
        if at != 0 {
            at = output::put_head(at, size);
            let recorded = body.len - BODY;
            if body.dead == 0 {
                move_bytes(at, body.0 + BODY, recorded);
                end = at + recorded;
            } else {
                let head = body.entries - BODY;
                move_bytes(at, body.0 + BODY, head);
                end = packed::copy_living(at + head, body.0 + body.entries, body.0 + body.len);
            }
            if body.has_name != 0 {
                w8(end, NAME);
                end = varint(end + 1, u64::from(body.name_len));
                move_bytes(end, body.name, body.name_len);
                end += body.name_len;
            }
            if event_len != 0 {
                move_bytes(end, event, event_len);
                end += event_len;
            }
            w8(end, 0x41);
            w64(end + 1, time);
            w8(end + 9, 0x7a);
            end = varint(end + 10, u64::from(status_size));
            if status_size != 0 {
                if status_len != 0 {
                    w8(end, 0x12);
                    end = varint(end + 1, u64::from(status_len));
                    move_bytes(end, status, status_len);
                    end += status_len;
                }
                w8(end, 0x18);
                w8(end + 1, u32::from(status_code));
                end += 2;
            }
        }
    }
    let (cap, kept) = (body.cap, body.kept_bytes);
    let (status, status_len, name, name_len) = (body.status, body.status_len, body.name, body.name_len);
    fence();
    if at != 0 {
        output::commit::<false>(guest, end, time);
    }
    contexts::end_slot(guest, slot, index);
    guest.spans_ended += 1;
    guest.kept_bytes -= u64::from(kept);
    guest.held_bytes -= u64::from(cap);
    operation::commit();
    fence();
    if cap == USUAL {
        heap::free_quickly(body.0, USUAL);
    } else {
        heap::free(body.0, cap);
    }
    if status != 0 {
        free_text(guest, status, status_len);
    }
    if name != 0 {
        free_text(guest, name, name_len);
    }
}

/// Free a text of a span that has ended.
#[inline(never)]
fn free_text(guest: P<Guest>, block: u32, len: u32) {
    let mut guest = guest;
    let cap = text_cap(block, len);
    guest.held_bytes -= u64::from(cap);
    heap::free(block, cap);
}

#[inline(never)]
#[allow(clippy::too_many_arguments)]
fn end_failed(
    guest: P<Guest>,
    slot: P<Slot>,
    index: u32,
    end_ns: u64,
    event: u32,
    event_len: u32,
    reason: u32,
    reason_len: u32,
) {
    end_open(guest, slot, index, end_ns, event, event_len, reason, reason_len);
}

/// End a guest's open spans with status ERROR, the innermost first: all, or those started in a call with this number or
/// a later one into the guest that the frame names. Gives how many.
pub fn fail(guest: P<Guest>, frame: u64, reason_len: i64, list_len: i64, end_ns: u64) -> u32 {
    let limit = control().scratch_cap;
    ranges::begin();
    let reason_len = ranges::list_size(reason_len, limit);
    let reason = ranges::take(reason_len);
    let list_len = ranges::list_size(list_len, limit);
    let list = ranges::take(list_len);
    // Both out of the way of the host, which may write to scratch when the buffer is full.
    let mut start = work::get(u64::from(reason_len) + u64::from(list_len) + 1_024);
    // Without memory for them, the spans end all the same: with the status, and neither text nor event.
    let (reason_len, list_len) = if start == 0 { (0, 0) } else { (reason_len, list_len) };
    if start == 0 {
        // Any address says that they failed.
        start = guest.0;
    }
    move_bytes(start, reason, reason_len);
    let mut event_len = 0;
    if list_len != 0 {
        let at = start + reason_len;
        w8(at, EVENT);
        w8(at + 2, 0x09);
        w64(at + 3, host::now());
        w16(at + 11, 0x0912);
        copy_loosely(at + 13, EXCEPTION.as_ptr() as u32, 9);
        packed::begin(guest);
        packed::trust();
        packed::region_in_work();
        let end = packed::encode(sites::nothing(), list, list_len, at + 22, OF_EVENT);
        start = packed::start();
        let at = start + reason_len;
        let end = packed::compact(at + 22, end);
        event_len = fix_length(at + 1, end) - at;
    }
    let frame_guest = control().frame.frame_guest;
    let mut count = 0;
    let mut next = guest.last_open;
    while next != 0 {
        let index = next - 1;
        let slot = contexts::slot_at(guest, index);
        if frame != 0 && slot.when < frame {
            break;
        }
        next = slot.previous;
        if frame == 0 || slot.context.frame_guest == frame_guest {
            if slot.entered != 0 {
                contexts::take_off(guest, slot, contexts::handle_of(index, slot.context.extra));
            }
            end_failed(guest, slot, index, end_ns, start + reason_len, event_len, start, reason_len);
            count += 1;
        }
    }
    count
}
