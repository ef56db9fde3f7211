//! Spans (Span in opentelemetry/proto/trace/v1/trace.proto).
//!
//! What is recorded of an open span lies encoded in its body: fields of fixed size, then the name, attributes, events
//! and links as entries (see packed.rs) that are only added. What can change (status, a new name) lies in blocks of its
//! own until the end.

use crate::contexts::{self, CURRENT, LOST, NO_SLOT, OPEN, Slot};
use crate::control::{Context, SAME_STATE, UNSAMPLED, control, limits};
use crate::guests::{self, Guest, has_room};
use crate::heap;
use crate::host;
use crate::ids;
use crate::logs;
use crate::memory::{P, Var, copy_loosely, fence, move_bytes, r8, w8, w16, w32, w64};
use crate::operation;
use crate::output;
use crate::packed::{self, Bloom, OF_EVENT, OF_LINK, OF_LOG, OF_SPAN, fix_length, varint, varint_size};
use crate::ranges;
use crate::rejections::{
    ENDED, EVENT_COUNT, HANDLE, KEPT_BYTES, KIND, LINK_COUNT, OPEN_SPANS, STATUS, reject, reject_number,
};
use crate::sites::{self, Site};
use crate::text;
use crate::tracestates;
use crate::work;

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
    status_code: u32,
    status: u32,
    status_len: u32,
    name: u32,
    name_len: u32,
    has_name: u32,
}

const BODY: u32 = core::mem::size_of::<Body>() as u32;
/// What most bodies get: a span with a few attributes.
const USUAL: u32 = 512;
/// Fields of fixed size: ids, kind, time, flags; and room to write loosely.
const HEAD: u64 = 160;
const SLACK: u32 = 64;
const NAME: u32 = 0x2a;
const EVENT: u32 = 0x5a;
const LINK: u32 = 0x6a;
/// What an event or a link takes, whatever is in it.
const ITEM_BYTES: u32 = 256;
const OK: u32 = 1;
const ERROR: u32 = 2;
const ERROR_SEVERITY: u32 = 17;
const SAMPLED: u32 = 1;
const RANDOM: u32 = 2;

// Start.

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
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
    let span_id = ids::next();
    let tracestate = parent.tracestate;
    fence();
    let mut guest = guest;
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

/// Where the extra attributes of the sampler are written: room for them in CONTROL.
const EXTRA_BYTES: u32 = 8_192;

fn begin_extra() {
    let mut root = P::<crate::control::Root>::at(&raw const control().root as u32);
    if root.extra_ptr == 0 {
        root.extra_ptr = heap::alloc(EXTRA_BYTES);
        root.extra_cap = if root.extra_ptr == 0 { 0 } else { EXTRA_BYTES - SLACK };
    }
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
fn move_body(guest: P<Guest>, from: P<Body>) -> P<Body> {
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
fn commit_start(
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
fn put_head(at: u32, trace_id: [u64; 2], span_id: u64, parent: u64, flags: u32, kind: u32, now: u64) -> u32 {
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
fn put_name(guest: P<Guest>, at: u32, name: u32, size: u32, site: P<Site>) -> u32 {
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
fn put_attributes(guest: P<Guest>, site: P<Site>, body: P<Body>, at: u32, list: u32, list_size: u32) -> P<Body> {
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
    body.status_code = 0;
    body.status = 0;
    body.status_len = 0;
    body.name = 0;
    body.name_len = 0;
    body.has_name = 0;
}

/// Start a span that the host decides on, that has a trace state, or of which it is not sure that it is short.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
fn start_slowly(
    guest: P<Guest>,
    site_id: u32,
    site: P<Site>,
    name: u32,
    name_size: u32,
    parent: P<Context>,
    kind: u32,
    list: u32,
    list_size: u32,
    decision: Decision,
) -> i64 {
    let root: P<crate::control::Root> = P::at(&raw const control().root as u32);
    let mut tracestate = parent.tracestate;
    let (mut trace_id, mut flags) = ([0, 0], SAMPLED | RANDOM);
    let mut parent_id = 0;
    let mut parent_flags = 0x100;
    if parent.is_valid != 0 {
        trace_id = parent.trace_id;
        parent_id = parent.span_id;
        flags = SAMPLED | u32::from(parent.flags) & RANDOM;
        parent_flags |= u32::from(parent.is_remote) << 9;
    } else if decision == Decision::Keep {
        trace_id[0] = ids::next();
        trace_id[1] = ids::next();
    }
    // The name first: the host may ask for it, and it is counted once if it is ill-formed.
    let room = u64::from(name_size) * 3 + u64::from(site.name_len) + 64;
    let need = HEAD
        + u64::from(BODY)
        + room * 2
        + u64::from(tracestates::size(tracestate))
        + u64::from(TRACESTATE_ROOM)
        + u64::from(site.attributes.len)
        + u64::from(guest.base.len)
        + u64::from(list_size);
    let start = work::get(need);
    if start == 0 {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    let name_end = put_name(guest, start, name, name_size, site);
    let name_entry_len = name_end - start;
    let mut extra_len = 0;
    if decision == Decision::Ask {
        let mut root = root;
        root.callsite = if site.0 == sites::nothing().0 { 0 } else { site_id };
        (root.site_ptr, root.site_len) = sites::descriptor(guest, root.callsite);
        root.kind = kind;
        root.name_ptr = packed::skip_varint(start + 1);
        root.name_len = name_end - root.name_ptr;
        root.attrs_ptr = list;
        root.attrs_len = list_size;
        root.trace_id = trace_id;
        root.parent_span_id = parent_id;
        root.parent_flags = if parent.is_valid != 0 { parent.flags } else { 0 };
        root.decision = 0;
        root.flags = 0;
        root.tracestate = tracestate;
        root.extra_len = 0;
        root.state_len = SAME_STATE;
        begin_extra();
        host::root(guest.number);
        trace_id = root.trace_id;
        if trace_id[0] | trace_id[1] == 0 {
            trace_id[0] = ids::next();
            trace_id[1] = ids::next();
        }
        flags = u32::from(root.flags);
        if root.extra_len <= root.extra_cap {
            extra_len = root.extra_len;
        }
        if root.state_len <= root.extra_cap - extra_len {
            tracestate = tracestates::keep(root.extra_ptr + extra_len, root.state_len);
        }
        if root.decision == 0 {
            return start_decided_drop(guest, trace_id, flags, tracestate);
        }
    }
    let span_id = ids::next();
    let mut body: P<Body> = P::at((name_end + 7) & !7);
    let mut at = put_head(body.0 + BODY, trace_id, span_id, parent_id, parent_flags | flags, kind, host::now());
    let state_len = tracestates::size(tracestate);
    if state_len != 0 {
        w8(at, 0x1a);
        at = varint(at + 1, u64::from(state_len));
        move_bytes(at, tracestates::data(tracestate), state_len);
        at += state_len;
    }
    body.entries = at - body.0;
    move_bytes(at, start, name_entry_len);
    at += name_entry_len;
    packed::region_in_work();
    body = put_attributes(guest, site, body, at, list, list_size);
    if extra_len != 0 {
        body = put_extra(guest, body, root.extra_ptr, extra_len);
    }
    let index = contexts::find_slot(guest);
    if index == NO_SLOT {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    body = move_body(guest, body);
    if body.is_none() {
        return 0;
    }
    commit_start(guest, index, site, body, trace_id, span_id, flags, tracestate)
}

/// A trace state that the host gives with its decision is not known before.
const TRACESTATE_ROOM: u32 = 4_096 + 16;

fn start_decided_drop(guest: P<Guest>, trace_id: [u64; 2], flags: u32, tracestate: u32) -> i64 {
    let index = contexts::find_slot(guest);
    if index == NO_SLOT {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    let span_id = ids::next();
    let mut guest = guest;
    fence();
    let handle = contexts::take_slot(guest, index);
    fill_slot(contexts::slot_at(guest, index), trace_id, span_id, flags, tracestate, 0);
    guest.spans_started += 1;
    guest.spans_unsampled += 1;
    operation::commit();
    handle
}

/// Add the sampler's attributes to a body in the work buffer.
fn put_extra(guest: P<Guest>, body: P<Body>, list: u32, size: u32) -> P<Body> {
    let from_start = body.0 - work::base();
    let len = body.len;
    packed::begin(guest);
    packed::trust();
    packed::region_in_work();
    let after = packed::encode(sites::nothing(), list, size, body.0 + len, OF_SPAN);
    let mut body: P<Body> = P::at(packed::start() + from_start);
    body.attributes += packed::count_new(body.0 + body.entries, body.0 + len);
    body.bloom = packed::joined(&body.bloom, &packed::bloom());
    body.fresh = len;
    body.len = packed::compact(body.0 + len, after) - body.0;
    settle(body);
    body
}

// While it is open.

/// Whether a guest's open spans may take so much memory more: many times what limits.kept_bytes counts, which are the
/// bytes that the guest sends.
#[inline(always)]
fn may_hold_memory(guest: P<Guest>, bytes: u32) -> bool {
    let most = u64::from(limits().kept_bytes) * 8 + u64::from(limits().open_spans) * 2048;
    guest.held_bytes + u64::from(bytes) <= most
}

/// What a function that changes a span is about.
struct Target;

static TARGET_GUEST: Var<P<Guest>> = Var::new(P::NONE);

/// Where the glue goes on: 0 nothing is to be done, 1 here, 2 with the host's span of the call. Counts what is unknown.
pub fn target(guest: P<Guest>, handle: i64) -> u32 {
    if handle == LOST {
        return 0;
    }
    if handle == CURRENT {
        let slot = contexts::entered_slot(guest);
        if !slot.is_none() {
            return u32::from(slot.context.is_recording);
        }
        let control = control();
        return if control.frame_id != 0 && control.frame.is_recording != 0 { 2 } else { 0 };
    }
    let slot = contexts::open_slot(guest, handle);
    if slot.is_none() {
        contexts::reject_span(guest, handle, ENDED);
        return 0;
    }
    u32::from(slot.context.is_recording)
}

/// As `target`, for `exception`: what is not recorded becomes a log record, which is made here.
pub fn exception_target(guest: P<Guest>, handle: i64) -> u32 {
    if handle == CURRENT || handle == LOST {
        let slot = contexts::entered_slot(guest);
        let control = control();
        return if slot.is_none() && control.frame_id != 0 && control.frame.is_recording != 0 { 2 } else { 1 };
    }
    if contexts::open_slot(guest, handle).is_none() {
        contexts::reject_span(guest, handle, ENDED);
    }
    1
}

impl Target {
    /// The slot of a recorded span that `target` found; none otherwise. Its guest, which may be another one, is in
    /// TARGET_GUEST.
    #[inline(always)]
    fn find(guest: P<Guest>, handle: i64) -> P<Slot> {
        let mut owner = guest;
        let slot = if handle == CURRENT {
            if control().frame_id != 0 && control().current_handle != 0 {
                owner = guests::get(control().current_guest);
            }
            contexts::entered_slot(guest)
        } else {
            contexts::open_slot(guest, handle)
        };
        TARGET_GUEST.set(owner);
        if slot.is_none() || slot.body == 0 { P::NONE } else { slot }
    }
}

/// Whether a span may hold so many bytes more; counts the refusal.
#[inline(always)]
fn may_hold(guest: P<Guest>, size: u32) -> bool {
    let owner = TARGET_GUEST.get();
    if owner.registered_bytes + owner.kept_bytes + u64::from(size) <= u64::from(limits().kept_bytes) {
        return true;
    }
    reject_number(guest, KEPT_BYTES, i64::from(limits().kept_bytes));
    false
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
    let mut slot = slot;
    let body: P<Body> = P::at(slot.body);
    if u64::from(size) + u64::from(SLACK) <= u64::from(body.cap - body.len) {
        move_bytes(body.0 + body.len, from, size);
        return body;
    }
    let mut owner = TARGET_GUEST.get();
    let wanted = u64::from(body.len) + u64::from(size) + u64::from(SLACK);
    let cap = if wanted > u64::from(heap::MAX_BYTES) { 0 } else { heap::rounded(wanted as u32) };
    let block = if cap != 0 && may_hold_memory(owner, cap) { heap::alloc(cap) } else { 0 };
    if block == 0 {
        reject(guest, KEPT_BYTES);
        return P::NONE;
    }
    move_bytes(block, body.0, body.len);
    let mut new: P<Body> = P::at(block);
    new.cap = cap;
    if new.dead != 0 {
        let end = packed::compact(block + new.entries, block + new.len);
        new.len = end - block;
        new.dead = 0;
    }
    move_bytes(block + new.len, from, size);
    let old_cap = body.cap;
    fence();
    slot.body = block;
    owner.held_bytes = owner.held_bytes + u64::from(cap) - u64::from(old_cap);
    fence();
    heap::free(body.0, old_cap);
    new
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
            }
        }
        at = packed::next_entry(at);
    }
    fence();
    body.fresh = 0;
}

/// The ABI's `span_attributes`.
pub fn attributes(guest: P<Guest>, handle: i64, attrs_len: i64) {
    let slot = Target::find(guest, handle);
    if slot.is_none() || !ranges::check_list(guest, attrs_len) || attrs_len == 0 {
        return;
    }
    let limits = limits();
    ranges::begin();
    let size = ranges::list_size(attrs_len, limits.attributes_bytes);
    let list = ranges::take(size);
    let body: P<Body> = P::at(slot.body);
    let site: P<Site> = P::at(body.site);
    let at = place(guest, body, size);
    if at == 0 {
        return;
    }
    packed::begin(guest);
    let mut end = packed::encode(site, list, size, at, OF_SPAN);
    let at = packed::start();
    if packed::given() == 0 || !may_hold(guest, size) {
        return;
    }
    let bloom = packed::bloom();
    let may_replace = packed::may_meet(&bloom, &body.bloom);
    let mut new = packed::given();
    if may_replace {
        new = packed::count_new(body.0 + body.entries, body.0 + body.len);
    }
    let limit = limits.attributes;
    if body.attributes + packed::given() > limit && body.attributes + new > limit {
        // Those that are there stay, and can change.
        new -= packed::drop_last(body.attributes + new - limit);
        if body.attributes + new > limit {
            new -= packed::drop_note();
        }
    }
    if packed::has_dead() {
        end = packed::compact(at, end);
    }
    let mut body = append(guest, slot, at, end);
    if body.is_none() {
        return;
    }
    let mut owner = TARGET_GUEST.get();
    let added = end - at;
    fence();
    if may_replace {
        body.fresh = body.len;
    }
    body.len += added;
    body.attributes += new;
    body.bloom = packed::joined(&body.bloom, &bloom);
    body.kept_bytes += size;
    owner.kept_bytes += u64::from(size);
    operation::commit();
    if may_replace {
        settle(body);
    }
}

/// Whether a span may get another event, of so many bytes besides what each takes; counts the refusal.
fn may_add_event(guest: P<Guest>, body: P<Body>, size: u32) -> bool {
    if body.events >= limits().events {
        reject(guest, EVENT_COUNT);
        return false;
    }
    may_hold(guest, ITEM_BYTES + size)
}

/// Add an entry with an event, from `at` to `end`, of so many bytes.
#[inline(always)]
fn commit_event(guest: P<Guest>, slot: P<Slot>, at: u32, end: u32, size: u32) {
    let mut body = append(guest, slot, at, end);
    if body.is_none() {
        return;
    }
    let mut owner = TARGET_GUEST.get();
    fence();
    body.len += end - at;
    body.events += 1;
    body.kept_bytes += ITEM_BYTES + size;
    owner.kept_bytes += u64::from(ITEM_BYTES + size);
    operation::commit();
}

/// The ABI's `span_event`.
pub fn event(guest: P<Guest>, handle: i64, name_len: i64, attrs_len: i64) {
    let slot = Target::find(guest, handle);
    if slot.is_none() {
        return;
    }
    let limits = limits();
    ranges::begin();
    let there = ranges::text_size(name_len, limits.name);
    let name = ranges::take(there);
    let size = ranges::list_size(attrs_len, limits.attributes_bytes);
    let list = ranges::take(size);
    ranges::is_readable(guest, name_len);
    ranges::check_list(guest, attrs_len);
    let name_size = ranges::cut(name, there, limits.name);
    let body: P<Body> = P::at(slot.body);
    let mut at = place(guest, body, 96 + name_size * 3 + size);
    if at == 0 {
        return;
    }
    let name_at = put_event_head(at);
    let mut end = put_event_name(guest, name_at, name, name_size);
    let characters = text::characters(name_at + 3, end - name_at - 3);
    end = close_event_name(name_at, end);
    let mut given = 0;
    if size != 0 {
        let from_at = end - at;
        packed::begin(guest);
        end = packed::encode(sites::nothing(), list, size, end, OF_EVENT);
        at = packed::start();
        given = packed::given();
        if !may_add_event(guest, body, if name_size == 0 { 0 } else { characters } + if given != 0 { size } else { 0 })
        {
            return;
        }
        end = packed::finish(at + from_at, end, 0);
    } else if !may_add_event(guest, body, if name_size == 0 { 0 } else { characters }) {
        return;
    }
    end = fix_length(at + 1, end);
    let bytes = if name_size == 0 { 0 } else { characters } + if given != 0 { size } else { 0 };
    commit_event(guest, slot, at, end, bytes);
}

/// Write the begin of an event up to its name. Its length has one byte until it is known.
#[inline(always)]
fn put_event_head(at: u32) -> u32 {
    w8(at, EVENT);
    w8(at + 2, 0x09);
    w64(at + 3, host::now());
    at + 11
}

/// Write the name at `at + 3`, whatever its length takes.
#[inline(always)]
fn put_event_name(guest: P<Guest>, at: u32, name: u32, size: u32) -> u32 {
    if size == 0 {
        w64(at + 3, u64::from_le_bytes(*b"event\0\0\0"));
        return at + 8;
    }
    text::put(guest, at + 3, name, size)
}

#[inline(always)]
fn close_event_name(at: u32, end: u32) -> u32 {
    let size = end - at - 3;
    w8(at, 0x12);
    if size >= 128 && size < 16_384 {
        w8(at + 1, size | 128);
        w8(at + 2, size >> 7);
        return end;
    }
    move_bytes(at + 2, at + 3, size);
    fix_length(at + 1, end - 1)
}

/// The ABI's `span_link`.
pub fn link(guest: P<Guest>, handle: i64, target: i64, attrs_len: i64) {
    let slot = Target::find(guest, handle);
    if slot.is_none() {
        return;
    }
    let linked = contexts::link_target(guest, target);
    if linked.is_none() {
        return;
    }
    let body: P<Body> = P::at(slot.body);
    let limits = limits();
    if body.links >= limits.links {
        reject(guest, LINK_COUNT);
        return;
    }
    ranges::begin();
    let size = ranges::list_size(attrs_len, limits.attributes_bytes);
    let list = ranges::take(size);
    ranges::check_list(guest, attrs_len);
    let mut at = place(guest, body, 128 + size);
    if at == 0 {
        return;
    }
    w8(at, LINK);
    w16(at + 2, 0x100a);
    w64(at + 4, linked.trace_id[0]);
    w64(at + 12, linked.trace_id[1]);
    w16(at + 20, 0x0812);
    w64(at + 22, linked.span_id);
    w8(at + 30, 0x35);
    w32(at + 31, 0x100 | u32::from(linked.is_remote) << 9 | u32::from(linked.flags));
    let mut end = at + 35;
    let mut bytes = ITEM_BYTES;
    if size != 0 {
        packed::begin(guest);
        end = packed::encode(sites::nothing(), list, size, end, OF_LINK);
        at = packed::start();
        if packed::given() != 0 {
            bytes += size;
        }
    }
    if !may_hold(guest, bytes) {
        return;
    }
    if size != 0 {
        end = packed::finish(at + 35, end, 0);
    }
    end = fix_length(at + 1, end);
    let mut body = append(guest, slot, at, end);
    if body.is_none() {
        return;
    }
    let mut owner = TARGET_GUEST.get();
    fence();
    body.len += end - at;
    body.links += 1;
    body.kept_bytes += bytes;
    owner.kept_bytes += u64::from(bytes);
    operation::commit();
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
    let block = heap::alloc(sure + SLACK);
    if block == 0 {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    text::put(guest, block, from, size);
    TEXT_LEN.set(sure);
    block
}

static TEXT_LEN: Var<u32> = Var::new(0);

/// The ABI's `span_status`.
pub fn status(guest: P<Guest>, handle: i64, code: u32, text_len: i64) {
    let slot = Target::find(guest, handle);
    if slot.is_none() {
        return;
    }
    if code > ERROR {
        reject_number(guest, STATUS, i64::from(code));
        return;
    }
    let block = if code == ERROR && text_len != 0 { copy_text(guest, text_len, limits().name) } else { 0 };
    let text_len = if block == 0 { 0 } else { TEXT_LEN.get() };
    let mut body: P<Body> = P::at(slot.body);
    // OpenTelemetry's rule: OK is final, and unset changes nothing.
    if code == 0 || body.status_code == OK {
        heap::free(block, text_len + SLACK);
        return;
    }
    let (old, old_len) = (body.status, body.status_len);
    fence();
    body.status_code = code;
    body.status = block;
    body.status_len = text_len;
    operation::commit();
    heap::free(old, old_len + SLACK);
}

/// The ABI's `span_rename`.
pub fn rename(guest: P<Guest>, handle: i64, text_len: i64) {
    let slot = Target::find(guest, handle);
    if slot.is_none() || text_len == 0 {
        return;
    }
    let block = copy_text(guest, text_len, limits().name);
    if block == 0 {
        return;
    }
    let mut body: P<Body> = P::at(slot.body);
    let (old, old_len) = (body.name, body.name_len);
    // The first entry is the name that it was started with, unless it has another one already.
    let entry = body.0 + body.entries;
    let dead = if body.has_name == 0 { packed::next_entry(entry) - entry } else { 0 };
    fence();
    body.name = block;
    body.name_len = TEXT_LEN.get();
    if dead != 0 {
        body.has_name = 1;
        body.dead += dead;
        w8(entry, 0);
    }
    operation::commit();
    heap::free(old, old_len + SLACK);
}

// Exceptions.

static REPORTED_CAP: Var<u32> = Var::new(0);

/// Note what the guest says of a failure, which is why it traps if it does.
fn report(kind: u32, kind_len: u32, message: u32, message_len: u32) {
    let mut control = control();
    if control.frame_id == 0 {
        return;
    }
    let size = if kind_len == 0 { message_len } else { kind_len + 2 + message_len };
    if size + SLACK > REPORTED_CAP.get() {
        let block = heap::alloc(size + SLACK);
        if block == 0 {
            return;
        }
        let (old, old_cap) = (control.reported_ptr, REPORTED_CAP.get());
        control.reported_ptr = block;
        control.reported_len = 0;
        REPORTED_CAP.set(heap::rounded(size + SLACK));
        heap::free(old, old_cap);
    }
    control.reported_len = 0;
    control.reported_frame = control.frame_id;
    let mut at = control.reported_ptr;
    fence();
    if kind_len != 0 {
        move_bytes(at, kind, kind_len);
        w16(at + kind_len, 0x203a);
        at += kind_len + 2;
    }
    move_bytes(at, message, message_len);
    fence();
    control.reported_len = size;
}

/// Write an attribute with text; `to` has its tag afterwards.
fn put_known(to: u32, tag: u32, key: u32, key_len: u32, text: u32, size: u32) -> u32 {
    w8(to, tag);
    packed::put_text_entry(to, key, key_len, text, size)
}

static KEY_TYPE: [u8; 32] = *b"exception.type\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static KEY_MESSAGE: [u8; 32] = *b"exception.message\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static KEY_STACK: [u8; 32] = *b"exception.stacktrace\0\0\0\0\0\0\0\0\0\0\0\0";
static EXCEPTION: [u8; 32] = *b"exception\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The ABI's `exception`.
pub fn exception(guest: P<Guest>, handle: i64, type_len: i64, message_len: i64, stack_len: i64, attrs_len: i64) {
    let limits = limits();
    let handle = if handle == LOST { CURRENT } else { handle };
    let slot = Target::find(guest, handle);
    ranges::begin();
    let there = ranges::text_size(type_len, limits.name);
    let kind = ranges::take(there);
    let kind_size = ranges::cut(kind, there, limits.name);
    let there = ranges::text_size(message_len, limits.message);
    let message = ranges::take(there);
    let message_size = ranges::cut(message, there, limits.message);
    let there = ranges::text_size(stack_len, limits.stack);
    let stack = ranges::take(there);
    let stack_size = ranges::cut(stack, there, limits.stack);
    let size = ranges::list_size(attrs_len, limits.attributes_bytes);
    let list = ranges::take(size);
    ranges::is_readable(guest, type_len);
    ranges::is_readable(guest, message_len);
    ranges::is_readable(guest, stack_len);
    ranges::check_list(guest, attrs_len);
    // First the texts, repaired; then the record, which has them once, and the message twice if it is a log record.
    let texts = (u64::from(kind_size) + u64::from(message_size) + u64::from(stack_size)) * 3 + 256;
    let need = texts * 2 + u64::from(message_size) * 3 + 512 + u64::from(guest.base.len) + u64::from(size);
    let start = work::get(need);
    if start == 0 {
        reject(guest, KEPT_BYTES);
        return;
    }
    let kind_len = text::put(guest, start, kind, kind_size) - start;
    let message = {
        let at = start + kind_len + 1;
        let end = text::put(guest, at, message, message_size);
        MESSAGE_LEN.set(end - at);
        at
    };
    let message_len = MESSAGE_LEN.get();
    let at = message + message_len + 1;
    let stack_len = text::put(guest, at, stack, stack_size) - at;
    let stack = at;
    report(start, kind_len, message, message_len);

    let is_event = !slot.is_none();
    let record = stack + stack_len + SLACK;
    let tag = if is_event { OF_EVENT } else { OF_LOG };
    let now = host::now();
    let mut at;
    if is_event {
        w8(record, EVENT);
        w8(record + 2, 0x09);
        w64(record + 3, now);
        w16(record + 11, 0x0912);
        copy_loosely(record + 13, EXCEPTION.as_ptr() as u32, 9);
        at = record + 22;
    } else {
        at = logs::put_exception(guest, record, ERROR_SEVERITY, message, message_len, now);
    }
    let entries = at;
    if !is_event {
        at = packed::put_fixed(at, P::at(&raw const guest.base as u32), OF_SPAN, tag);
    }
    let base_end = at;
    if kind_len != 0 {
        at = put_known(at, tag, KEY_TYPE.as_ptr() as u32, 14, start, kind_len);
    } else {
        at = put_known(at, tag, KEY_TYPE.as_ptr() as u32, 14, EXCEPTION.as_ptr() as u32, 9);
    }
    at = put_known(at, tag, KEY_MESSAGE.as_ptr() as u32, 17, message, message_len);
    let mut count = 2;
    if stack_len != 0 {
        at = put_known(at, tag, KEY_STACK.as_ptr() as u32, 20, stack, stack_len);
        count += 1;
    }
    if !is_event {
        count += guest.base.count;
    }
    let (record_from, entries_from) = (record - start, entries - start);
    let characters = text::characters(message, message_len) + text::characters(stack, stack_len);
    packed::begin(guest);
    // Here any key may be there already.
    packed::begin_with(entries, base_end, at, [u64::MAX; 4]);
    packed::region_in_work();
    let mut end = packed::encode(sites::nothing(), list, size, at, tag);
    let start = packed::start();
    let given = packed::given();
    let record = start + record_from;
    if is_event {
        let bytes = characters + if given != 0 { size } else { 0 };
        let body: P<Body> = P::at(slot.body);
        if !may_add_event(guest, body, bytes) {
            return;
        }
        end = packed::finish(start + entries_from, end, count);
        end = fix_length(record + 1, end);
        commit_event(guest, slot, record, end, bytes);
        return;
    }
    end = packed::finish(start + entries_from, end, count);
    if ERROR_SEVERITY < control().min_severity {
        operation::commit();
        return;
    }
    output::age(guest, now);
    output::copy::<true>(guest, record, end - record, now);
}

static MESSAGE_LEN: Var<u32> = Var::new(0);

// End.

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
                end = put_living(at + head, body.0 + body.entries, body.0 + body.len);
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
                w8(end + 1, status_code);
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
        heap::free(status, status_len + SLACK);
    }
    if name != 0 {
        heap::free(name, name_len + SLACK);
    }
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

fn put_living(to: u32, from: u32, end: u32) -> u32 {
    let mut to = to;
    let mut at = from;
    while at < end {
        let next = packed::next_entry(at);
        if r8(at) != 0 {
            move_bytes(to, at, next - at);
            to += next - at;
        }
        at = next;
    }
    to
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
    if start == 0 {
        return 0;
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

// After a trap.

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
                heap::mark(body.status, body.status_len + SLACK);
                heap::mark(body.name, body.name_len + SLACK);
                guest.kept_bytes += u64::from(body.kept_bytes);
                guest.held_bytes += u64::from(body.cap);
                settle(body);
            }
        }
        index += 1;
    }
}

pub fn mark_reported() {
    heap::mark(control().reported_ptr, REPORTED_CAP.get());
    heap::mark(control().root.extra_ptr, EXTRA_BYTES);
}
