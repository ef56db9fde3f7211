//! The start of a span that the host decides on, that has a trace state, or that is long: it is made in the work buffer.

use super::start::{Decision, commit_start, commit_unrecorded, move_body, put_attributes, put_head, put_name};
use super::{BODY, Body, HEAD, RANDOM, SAMPLED, settle};
use crate::contexts::{self, NO_SLOT};
use crate::control::{Context, Root, control};
use crate::guests::Guest;
use crate::host;
use crate::ids;
use crate::memory::{P, move_bytes, w8};
use crate::packed::{self, OF_SPAN};
use crate::protobuf::{skip_varint, varint};
use crate::rejections::{KEPT_BYTES, reject};
use crate::sites::{self, Site};
use crate::tracestates;
use crate::work;

/// A trace state that the host gives with its decision is not known before.
const TRACESTATE_ROOM: u32 = 4_096 + 16;

/// Start a span that the host decides on, that has a trace state, or of which it is not sure that it is short.
#[inline(never)]
#[allow(clippy::too_many_arguments)]
pub fn start_slowly(
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
    let root: P<Root> = P::at(&raw const control().root as u32);
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
        root.name_ptr = skip_varint(start + 1);
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
        tracestate = host::tracestate(extra_len, tracestate);
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

fn start_decided_drop(guest: P<Guest>, trace_id: [u64; 2], flags: u32, tracestate: u32) -> i64 {
    let index = contexts::find_slot(guest);
    if index == NO_SLOT {
        reject(guest, KEPT_BYTES);
        return 0;
    }
    commit_unrecorded(guest, index, trace_id, flags, tracestate)
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
    body.attributes += packed::count_new(body.0 + body.entries, body.0 + len, u32::MAX);
    body.bloom = packed::joined(&body.bloom, &packed::bloom());
    body.fresh = len;
    body.len = packed::compact(body.0 + len, after) - body.0;
    settle(body);
    body
}
