//! The start of a span: whether it is recorded, and what of it is known from then on.

use super::slow_start::start_slowly;
use super::{BODY, Body, HEAD, NAME, RANDOM, SAMPLED, SLACK, USUAL, may_hold_memory};
use crate::contexts::{self, NO_SLOT, Slot};
use crate::control::{Context, control, limits};
use crate::guests::{Guest, has_room};
use crate::heap;
use crate::host;
use crate::ids;
use crate::memory::{P, copy_loosely, fence, move_bytes, w8, w16, w32, w64};
use crate::operation;
use crate::packed::{self, OF_SPAN};
use crate::protobuf::varint;
use crate::ranges;
use crate::rejections::{HANDLE, KEPT_BYTES, KIND, OPEN_SPANS, reject, reject_number};
use crate::sites::{self, Site};
use crate::text;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Keep,
    Drop,
    Ask,
}

/// Whether a child of a context is recorded.
#[inline(always)]
fn decide(parent: P<Context>) -> Decision {
    let policy = if parent.is_valid == 0 {
        control().root_policy
    } else if parent.is_remote == 0 {
        return if u32::from(parent.flags) & SAMPLED != 0 { Decision::Keep } else { Decision::Drop };
    } else if u32::from(parent.flags) & SAMPLED != 0 {
        control().remote_sampled_policy
    } else {
        control().remote_unsampled_policy
    };
    match policy {
        0 => Decision::Keep,
        1 => Decision::Drop,
        _ => Decision::Ask,
    }
}

/// Whether there is no room for another open span; counts the refusal.
#[inline(always)]
fn is_full(guest: P<Guest>) -> bool {
    if guest.open < limits().open_spans {
        return false;
    }
    reject_number(guest, OPEN_SPANS, i64::from(limits().open_spans));
    true
}

/// Start a span that is not recorded: its handle, or 0 if it is not kept. -1: it is recorded, nothing is done yet.
#[inline(always)]
pub fn prepare(guest: P<Guest>, site: u32, context: i64, kind: u32) -> i64 {
    if is_full(guest) {
        return 0;
    }
    let parent = contexts::resolve::<false>(guest, context);
    if decide(parent) != Decision::Drop {
        return -1;
    }
    if contexts::is_unknown(guest, context) {
        reject_number(guest, HANDLE, context);
    }
    sites::get(guest, site);
    if kind > 5 {
        reject_number(guest, KIND, i64::from(kind));
    }
    start_unrecorded(guest, parent)
}

#[inline(always)]
fn start_unrecorded(guest: P<Guest>, parent: P<Context>) -> i64 {
    let index = contexts::find_slot(guest);
    if index == NO_SLOT {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    let (mut trace_id, mut flags) = ([0, 0], RANDOM);
    if parent.is_valid != 0 {
        trace_id = parent.trace_id;
        flags = u32::from(parent.flags) & RANDOM;
    } else {
        trace_id[0] = ids::next();
        trace_id[1] = ids::next();
    }
    commit_unrecorded(guest, index, trace_id, flags, parent.tracestate)
}

/// As `commit_start`, of a span that is not recorded.
#[inline(always)]
pub fn commit_unrecorded(guest: P<Guest>, index: u32, trace_id: [u64; 2], flags: u32, tracestate: u32) -> i64 {
    let mut guest = guest;
    let span_id = ids::next();
    fence();
    let handle = contexts::take_slot(guest, index);
    fill_slot(contexts::slot_at(guest, index), trace_id, span_id, flags, tracestate, 0);
    guest.spans_started += 1;
    guest.spans_unsampled += 1;
    operation::commit();
    handle
}

#[inline(always)]
fn fill_slot(slot: P<Slot>, trace_id: [u64; 2], span_id: u64, flags: u32, tracestate: u32, body: u32) {
    let mut slot = slot;
    let control = control();
    slot.context.trace_id = trace_id;
    slot.context.span_id = span_id;
    slot.context.frame_guest = control.frame.frame_guest;
    slot.context.flags = flags as u8;
    slot.context.is_remote = 0;
    slot.context.is_valid = 1;
    slot.context.is_recording = (body != 0) as u8;
    slot.context.tracestate = tracestate;
    slot.when = control.frame_id;
    slot.body = body;
}

/// The ABI's `span_start`.
#[inline(always)]
pub fn start(guest: P<Guest>, site: u32, name_len: i64, context: i64, kind: u32, attrs_len: i64) -> i64 {
    let limits = limits();
    if is_full(guest) {
        return 0;
    }
    let site_id = site;
    let site = sites::get(guest, site_id);
    ranges::begin();
    let name_there = ranges::text_size(name_len, limits.name);
    let name = ranges::take(name_there);
    let list_size = ranges::list_size(attrs_len, limits.attributes_bytes);
    let list = ranges::take(list_size);
    ranges::is_readable(guest, name_len);
    ranges::check_list(guest, attrs_len);
    let name_size = ranges::cut(name, name_there, limits.name);
    let mut kind = kind;
    if kind > 5 {
        reject_number(guest, KIND, i64::from(kind));
        kind = 0;
    }
    let parent = contexts::resolve::<true>(guest, context);
    let decision = decide(parent);
    if decision == Decision::Drop {
        return start_dropped(guest, parent);
    }
    // What the guest's attributes take is found out when they are written: then the record may move.
    let need = HEAD
        + u64::from(BODY)
        + u64::from(name_size) * 3
        + u64::from(site.name_len)
        + u64::from(site.attributes.len)
        + u64::from(guest.base.len);
    let is_direct = decision == Decision::Keep && parent.tracestate == 0 && need <= u64::from(USUAL);
    if !is_direct {
        return start_slowly(guest, site_id, site, name, name_size, parent, kind, list, list_size, decision);
    }
    let index = contexts::find_slot(guest);
    let block = heap::alloc_quickly(USUAL);
    if index == NO_SLOT || block == 0 || !may_hold_memory(guest, USUAL) {
        heap::free(block, USUAL);
        reject(guest, KEPT_BYTES);
        return 0;
    }
    let (mut trace_id, mut flags) = ([0, 0], SAMPLED | RANDOM);
    let mut parent_id = 0;
    let mut parent_flags = 0x100;
    if parent.is_valid != 0 {
        trace_id = parent.trace_id;
        parent_id = parent.span_id;
        flags = SAMPLED | u32::from(parent.flags) & RANDOM;
        parent_flags |= u32::from(parent.is_remote) << 9;
    } else {
        trace_id[0] = ids::next();
        trace_id[1] = ids::next();
    }
    let span_id = ids::next();
    let mut body: P<Body> = P::at(block);
    packed::region(block, block + USUAL);
    let at = put_head(block + BODY, trace_id, span_id, parent_id, parent_flags | flags, kind, host::now());
    body.entries = at - block;
    let end = put_name(guest, at, name, name_size, site);
    body = put_attributes(guest, site, body, end, list, list_size);
    if body.0 == block {
        body.cap = USUAL;
    } else {
        body = move_body(guest, body);
        heap::free(block, USUAL);
        if body.is_none() {
            return 0;
        }
    }
    commit_start(guest, index, site, body, trace_id, span_id, flags, 0)
}

/// Copy a body from the work buffer into a block of its own; none and counted if there is no memory.
#[inline(never)]
pub fn move_body(guest: P<Guest>, from: P<Body>) -> P<Body> {
    let cap = heap::rounded(from.len + SLACK);
    let block = if may_hold_memory(guest, cap) { heap::alloc(cap) } else { 0 };
    let mut body: P<Body> = P::at(block);
    if block == 0 {
        reject(guest, KEPT_BYTES);
    } else {
        move_bytes(block, from.0, from.len);
        body.cap = cap;
    }
    body
}

/// As a trap can strike before: nothing of it is there until now.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub fn commit_start(
    guest: P<Guest>,
    index: u32,
    site: P<Site>,
    body: P<Body>,
    trace_id: [u64; 2],
    span_id: u64,
    flags: u32,
    tracestate: u32,
) -> i64 {
    let (mut guest, mut body) = (guest, body);
    body.site = site.0;
    let kept = u64::from(body.kept_bytes);
    let cap = u64::from(body.cap);
    fence();
    let handle = contexts::take_slot(guest, index);
    fill_slot(contexts::slot_at(guest, index), trace_id, span_id, flags, tracestate, body.0);
    guest.kept_bytes += kept;
    guest.held_bytes += cap;
    guest.spans_started += 1;
    operation::commit();
    handle
}

/// The fields of fixed size. The low eight bits of the flags are the span's W3C trace flags (OTLP's `SpanFlags`). The kind is OTLP's, and internal where it is not specified.
#[inline(always)]
pub fn put_head(at: u32, trace_id: [u64; 2], span_id: u64, parent: u64, flags: u32, kind: u32, now: u64) -> u32 {
    w16(at, 0x100a);
    w64(at + 2, trace_id[0]);
    w64(at + 10, trace_id[1]);
    w16(at + 18, 0x0812);
    w64(at + 20, span_id);
    w8(at + 28, 0x30);
    w16(at + 29, if kind == 0 { 1 } else { kind } | 0x3900);
    w64(at + 31, now);
    w16(at + 39, 0x0185);
    w32(at + 41, flags);
    if parent == 0 {
        return at + 45;
    }
    w16(at + 45, 0x0822);
    w64(at + 47, parent);
    at + 55
}

/// The name as an entry: the guest's, else the call site's, else `span`.
#[inline(always)]
pub fn put_name(guest: P<Guest>, at: u32, name: u32, size: u32, site: P<Site>) -> u32 {
    w8(at, NAME);
    if size != 0 {
        if size <= 42 {
            let end = text::put(guest, at + 2, name, size);
            w8(at + 1, end - at - 2);
            return end;
        }
        let sure = if text::is_utf8(name, size) { size } else { text::repaired_size(name, size) };
        let to = varint(at + 1, u64::from(sure));
        return text::put(guest, to, name, size);
    }
    if site.name_len != 0 {
        let to = varint(at + 1, u64::from(site.name_len));
        copy_loosely(to, site.name, site.name_len);
        return to + site.name_len;
    }
    w8(at + 1, 4);
    w32(at + 2, u32::from_le_bytes(*b"span"));
    at + 6
}

#[inline(never)]
fn start_dropped(guest: P<Guest>, parent: P<Context>) -> i64 {
    start_unrecorded(guest, parent)
}

/// Write the attributes of the host, the call site and the guest, from `at` on, and what the body says of them. Gives the
/// body: it may be in the work buffer then.
#[inline(never)]
pub fn put_attributes(guest: P<Guest>, site: P<Site>, body: P<Body>, at: u32, list: u32, list_size: u32) -> P<Body> {
    let base = P::at(&raw const guest.base as u32);
    let fixed = P::at(&raw const site.attributes as u32);
    let base_end = packed::put_fixed(at, base, OF_SPAN, OF_SPAN);
    let fixed_end = packed::put_fixed(base_end, fixed, site.tag, OF_SPAN);
    let count = guest.base.count + site.attributes.count;
    packed::begin(guest);
    packed::begin_with(at, base_end, fixed_end, packed::joined(&guest.base.bloom, &site.attributes.bloom));
    if list_size == 0 {
        init_body(body, fixed_end, count, 0);
        return body;
    }
    let region = packed::start();
    let mut end = packed::encode(site, list, list_size, fixed_end, OF_SPAN);
    let moved = packed::start().wrapping_sub(region);
    let body = P::at(body.0.wrapping_add(moved));
    let at = at.wrapping_add(moved);
    end = packed::finish(at, end, count);
    if has_room(guest, list_size) {
        init_body(body, end, packed::kept(), list_size);
        return body;
    }
    let base_end = packed::put_fixed(at, base, OF_SPAN, OF_SPAN);
    let fixed_end = packed::put_fixed(base_end, fixed, site.tag, OF_SPAN);
    init_body(body, fixed_end, count, 0);
    body
}

#[inline(always)]
fn init_body(body: P<Body>, end: u32, attributes: u32, kept_bytes: u32) {
    let mut body = body;
    // That of a list which is not kept does no harm.
    body.bloom = packed::bloom();
    body.len = end - body.0;
    body.dead = 0;
    body.fresh = 0;
    body.attributes = attributes;
    body.events = 0;
    body.links = 0;
    body.kept_bytes = kept_bytes;
    body.late = 0;
    body.status_code = 0;
    body.status = 0;
    body.status_len = 0;
    body.name = 0;
    body.name_len = 0;
    body.has_name = 0;
    body.dead_entries = 0;
}
