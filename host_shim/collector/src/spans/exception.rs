//! Exceptions: an event of an open span, or a log record where none is recorded.

use super::additions::{commit_event, may_add_event};
use super::target::find;
use super::{Body, EVENT, SLACK};
use crate::contexts::{CURRENT, LOST};
use crate::control::{control, limits};
use crate::guests::Guest;
use crate::heap;
use crate::host;
use crate::logs;
use crate::memory::{P, Var, copy_loosely, fence, move_bytes, w8, w16, w64};
use crate::operation;
use crate::output;
use crate::packed::{self, OF_EVENT, OF_LOG, OF_SPAN};
use crate::protobuf::fix_length;
use crate::ranges;
use crate::rejections::{KEPT_BYTES, reject};
use crate::sites;
use crate::text;
use crate::work;

const ERROR_SEVERITY: u32 = 17;

static KEY_TYPE: [u8; 32] = *b"exception.type\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static KEY_MESSAGE: [u8; 32] = *b"exception.message\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static KEY_STACK: [u8; 32] = *b"exception.stacktrace\0\0\0\0\0\0\0\0\0\0\0\0";
pub static EXCEPTION: [u8; 32] = *b"exception\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Of the block at control.reported_ptr.
pub static REPORTED_CAP: Var<u32> = Var::new(0);

/// The ABI's `exception`.
pub fn exception(guest: P<Guest>, handle: i64, type_len: i64, message_len: i64, stack_len: i64, attrs_len: i64) {
    let limits = limits();
    let handle = if handle == LOST { CURRENT } else { handle };
    let slot = find(guest, handle);
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
    let at = start + kind_len + 1;
    let message_len = text::put(guest, at, message, message_size) - at;
    let message = at;
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
