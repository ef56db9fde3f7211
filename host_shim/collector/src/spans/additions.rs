//! What is added to an open span: attributes, events and links.

use super::target::{TARGET_GUEST, find, may_hold};
use super::{Body, EVENT, ITEM_BYTES, LINK, append, place, settle, tidy};
use crate::contexts::{self, Slot};
use crate::control::limits;
use crate::guests::Guest;
use crate::host;
use crate::memory::{P, fence, w8, w16, w32, w64};
use crate::operation;
use crate::packed::{self, OF_EVENT, OF_LINK, OF_SPAN};
use crate::protobuf::{close, fix_length};
use crate::ranges;
use crate::rejections::{EVENT_COUNT, LINK_COUNT, reject};
use crate::sites::{self, Site};
use crate::text;

const EVENT_NAME: u32 = 0x12;

/// The ABI's `span_attributes`.
pub fn attributes(guest: P<Guest>, handle: i64, attrs_len: i64) {
    let slot = find(guest, handle);
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
    packed::begin_change(guest);
    let mut end = packed::encode(site, list, size, at, OF_SPAN);
    let at = packed::start();
    if packed::given() == 0 {
        return;
    }
    let bloom = packed::bloom();
    let may_replace = packed::may_meet(&bloom, &body.bloom);
    let mut new = packed::given();
    let mut replaced = 0;
    if may_replace {
        let late = if body.late == 0 { u32::MAX } else { body.0 + body.late };
        new = packed::count_new(body.0 + body.entries, body.0 + body.len, late);
        replaced = packed::replaced();
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
    // What is replaced goes, so that it does not count; but not what the span was started with.
    let added = end - at;
    if added > replaced && !may_hold(guest, added - replaced) {
        return;
    }
    let mut body = append(guest, slot, at, end);
    if body.is_none() {
        return;
    }
    let mut owner = TARGET_GUEST.get();
    fence();
    if may_replace {
        body.fresh = body.len;
    }
    if body.late == 0 {
        body.late = body.len;
    }
    body.len += added;
    body.attributes += new;
    body.bloom = packed::joined(&body.bloom, &bloom);
    body.kept_bytes = body.kept_bytes + added - replaced;
    owner.kept_bytes = owner.kept_bytes + u64::from(added) - u64::from(replaced);
    operation::commit();
    if may_replace {
        settle(body);
        tidy(slot);
    }
}

/// Whether a span may get another event, of so many bytes besides what each takes; counts the refusal.
pub fn may_add_event(guest: P<Guest>, body: P<Body>, size: u32) -> bool {
    if body.events >= limits().events {
        reject(guest, EVENT_COUNT);
        return false;
    }
    may_hold(guest, ITEM_BYTES + size)
}

/// Add an entry with an event, from `at` to `end`, of so many bytes.
#[inline(always)]
pub fn commit_event(guest: P<Guest>, slot: P<Slot>, at: u32, end: u32, size: u32) {
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
    let slot = find(guest, handle);
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
    end = close(name_at, EVENT_NAME, end);
    let mut given = 0;
    if size != 0 {
        let from_at = end - at;
        packed::begin_change(guest);
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

/// The ABI's `span_link`.
pub fn link(guest: P<Guest>, handle: i64, target: i64, attrs_len: i64) {
    let slot = find(guest, handle);
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
        packed::begin_change(guest);
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
