//! The functions that the glue and the host call. README.md has the table.

use crate::contexts;
use crate::control::{self, Context, control};
use crate::guests::{self, Guest};
use crate::memory::{P, Var, move_bytes, r8, r32, r64, w8, w16, w32, w64};
use crate::operation::{self, begin, begin_host, begin_record, end, prepare, start_or_recover};
use crate::ranges;
use crate::rejections::{DESCRIPTOR, reject, reject_number};
use crate::{base, ids, logs, sites, spans, tracestates};

const ALWAYS: u32 = 3;
const NEVER: u32 = 2;

// For the glue.

#[unsafe(no_mangle)]
extern "C" fn callsite(number: u32, size: i64) -> u32 {
    let guest = begin_record(number);
    if guest.is_none() {
        return 0;
    }
    let id = descriptor(guest, size, sites::register);
    end();
    id
}

/// Read a descriptor and register what it describes.
#[inline(always)]
pub fn descriptor(guest: P<Guest>, size: i64, register: impl FnOnce(P<Guest>, u32, u32) -> u32) -> u32 {
    let limit = control::limits().descriptor;
    ranges::begin();
    if size > i64::from(limit) {
        reject_number(guest, DESCRIPTOR, size);
        return 0;
    }
    if !ranges::is_readable(guest, size) {
        return 0;
    }
    register(guest, ranges::take(0), size as u32)
}

#[unsafe(no_mangle)]
extern "C" fn enabled(number: u32, site: u32) -> u32 {
    let guest = begin(number);
    if guest.is_none() {
        return ALWAYS;
    }
    let site = sites::get(guest, site);
    let is_enabled = site.kind != sites::LOG || site.severity == 0 || site.severity >= control().min_severity;
    end();
    if is_enabled { ALWAYS } else { NEVER }
}

#[unsafe(export_name = "log")]
extern "C" fn log_record(number: u32, site: u32, severity: u32, context: i64, body_len: i64, attrs_len: i64) {
    let guest = begin_record(number);
    if !guest.is_none() {
        logs::log(guest, site, severity, context, body_len, attrs_len);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn span_prepare(number: u32, site: u32, context: i64, kind: u32) -> i64 {
    let guest = begin_record(number);
    if guest.is_none() {
        return 0;
    }
    let handle = spans::prepare(guest, site, context, kind);
    end();
    handle
}

#[unsafe(no_mangle)]
extern "C" fn span_start(number: u32, site: u32, name_len: i64, context: i64, kind: u32, attrs_len: i64) -> i64 {
    let guest = begin_record(number);
    if guest.is_none() {
        return 0;
    }
    let handle = spans::start(guest, site, name_len, context, kind, attrs_len);
    end();
    handle
}

#[unsafe(no_mangle)]
extern "C" fn span_enter(number: u32, handle: i64) {
    let guest = begin(number);
    if !guest.is_none() {
        contexts::enter(guest, handle);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn span_exit(number: u32, handle: i64) {
    let guest = begin(number);
    if !guest.is_none() {
        contexts::exit(guest, handle);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn span_end(number: u32, handle: i64) {
    let guest = begin(number);
    if !guest.is_none() {
        spans::end(guest, handle);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn target(number: u32, handle: i64) -> u32 {
    let guest = begin(number);
    if guest.is_none() {
        return 0;
    }
    let answer = spans::target(guest, handle);
    end();
    answer
}

#[unsafe(no_mangle)]
extern "C" fn span_attributes(number: u32, handle: i64, attrs_len: i64) {
    let guest = begin_record(number);
    if !guest.is_none() {
        spans::attributes(guest, handle, attrs_len);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn span_event(number: u32, handle: i64, name_len: i64, attrs_len: i64) {
    let guest = begin_record(number);
    if !guest.is_none() {
        spans::event(guest, handle, name_len, attrs_len);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn span_link(number: u32, handle: i64, target: i64, attrs_len: i64) {
    let guest = begin_record(number);
    if !guest.is_none() {
        spans::link(guest, handle, target, attrs_len);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn span_status(number: u32, handle: i64, code: u32, text_len: i64) {
    let guest = begin_record(number);
    if !guest.is_none() {
        spans::status(guest, handle, code, text_len);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn span_rename(number: u32, handle: i64, text_len: i64) {
    let guest = begin_record(number);
    if !guest.is_none() {
        spans::rename(guest, handle, text_len);
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn exception_target(number: u32, handle: i64) -> u32 {
    let guest = begin(number);
    if guest.is_none() {
        return 0;
    }
    let answer = spans::exception_target(guest, handle);
    end();
    answer
}

#[unsafe(no_mangle)]
extern "C" fn exception(number: u32, handle: i64, type_len: i64, message_len: i64, stack_len: i64, attrs_len: i64) {
    let guest = begin_record(number);
    if !guest.is_none() {
        spans::exception(guest, handle, type_len, message_len, stack_len, attrs_len);
        end();
    }
}

const CONTEXT_BYTES: u32 = 36;

/// The ABI's 32 bytes, and the trace state's id behind them.
fn put_context(found: P<Context>) -> u32 {
    if found.is_none() || found.is_valid == 0 || !ranges::reserve(CONTEXT_BYTES) {
        return 0;
    }
    let at = control().scratch_ptr;
    w64(at, found.trace_id[0]);
    w64(at + 8, found.trace_id[1]);
    w64(at + 16, found.span_id);
    w8(at + 24, u32::from(found.flags));
    w8(at + 25, u32::from(found.is_remote));
    w16(at + 26, 0);
    w32(at + 28, 0);
    w32(at + 32, found.tracestate);
    1
}

#[unsafe(no_mangle)]
extern "C" fn span_context(number: u32, context: i64) -> u32 {
    let guest = begin(number);
    if guest.is_none() {
        return 0;
    }
    let is_there = put_context(contexts::resolve::<true>(guest, context));
    end();
    is_there
}

#[unsafe(no_mangle)]
extern "C" fn reserve(bytes: u32) -> u32 {
    if !begin_host() {
        return 0;
    }
    let is_there = ranges::reserve(bytes);
    end();
    is_there as u32
}

static ARGS: Var<[u64; 16]> = Var::new([0; 16]);

#[unsafe(no_mangle)]
extern "C" fn args() -> u32 {
    ARGS.address()
}

#[unsafe(export_name = "reject")]
extern "C" fn reject_for(number: u32, reason: u32) {
    let guest = begin(number);
    if !guest.is_none() {
        reject(guest, reason);
        end();
    }
}

// For the host.

/// Take possession of the memory, and make the first guest and room in scratch for so many bytes; gives the address of
/// the guest's block, 0 if there is no room. The host has written its configuration into CONTROL; the seed is random.
/// After a trap, the host begins anew.
#[unsafe(no_mangle)]
extern "C" fn init(s0: u64, s1: u64, s2: u64, s3: u64, flags: u32, bytes: u32) -> u32 {
    prepare();
    ids::seed(s0, s1, s2, s3);
    let guest = if guests::count() == 0 { add_guest(flags) } else { guests::get(0) };
    if guest.is_none() || !ranges::reserve(bytes) { 0 } else { guest.0 }
}

/// Begin with what the host puts on the first guest's records, in scratch. 0 if there is no memory for it.
#[unsafe(no_mangle)]
extern "C" fn ready(attrs_len: i64) -> u32 {
    if attrs_len != 0 && !base::set(guests::get(0), attrs_len) {
        return 0;
    }
    operation::ready();
    1
}

#[unsafe(export_name = "control")]
extern "C" fn control_block() -> u32 {
    control().0
}

#[unsafe(no_mangle)]
extern "C" fn recover() {
    start_or_recover();
}

fn add_guest(flags: u32) -> P<Guest> {
    guests::add(flags & 1 == 0)
}

#[unsafe(no_mangle)]
extern "C" fn guest(flags: u32, attrs_len: i64) -> i32 {
    if !begin_host() {
        return -1;
    }
    let guest = add_guest(flags);
    let mut number = -1;
    if !guest.is_none() {
        base::set(guest, attrs_len);
        number = guest.number as i32;
    }
    end();
    number
}

#[unsafe(no_mangle)]
extern "C" fn guest_address(number: u32) -> u32 {
    guests::get(number).0
}

#[unsafe(no_mangle)]
extern "C" fn set_memory(number: u32, has_memory: u32) {
    let mut guest = guests::get(number);
    if !guest.is_none() {
        guest.has_memory = (has_memory != 0) as u32;
    }
}

#[unsafe(no_mangle)]
extern "C" fn fail(number: u32, frame: u64, reason_len: i64, event_len: i64, end_ns: u64) -> u32 {
    let guest = begin(number);
    if guest.is_none() {
        return 0;
    }
    let count = spans::fail(guest, frame, reason_len, event_len, end_ns);
    end();
    count
}

#[unsafe(no_mangle)]
extern "C" fn frame_end() {
    if begin_host() {
        contexts::end_frame();
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn refresh() {
    if begin_host() {
        contexts::refresh();
        end();
    }
}

#[unsafe(no_mangle)]
extern "C" fn context_of(number: u32, context: i64) -> u32 {
    span_context(number, context)
}

#[unsafe(no_mangle)]
extern "C" fn link_context(number: u32, handle: i64) -> u32 {
    let guest = begin(number);
    if guest.is_none() {
        return 0;
    }
    let is_there = put_context(contexts::link_target(guest, handle));
    end();
    is_there
}

#[unsafe(no_mangle)]
extern "C" fn remote_keep(number: u32) -> i64 {
    let guest = begin_record(number);
    if guest.is_none() {
        return 0;
    }
    let at = control().scratch_ptr;
    let handle = contexts::keep_remote(guest, [r64(at), r64(at + 8)], r64(at + 16), r8(at + 24), r32(at + 25));
    end();
    handle
}

#[unsafe(no_mangle)]
extern "C" fn tracestate(size: i64) -> u32 {
    if size < 0 || size > i64::from(control().scratch_cap) || !begin_host() {
        return 0;
    }
    let id = tracestates::keep(control().scratch_ptr, size as u32);
    end();
    id
}

#[unsafe(no_mangle)]
extern "C" fn tracestate_text(id: u32) -> u32 {
    if !begin_host() {
        return 0;
    }
    let mut size = tracestates::size(id);
    if size != 0 && ranges::reserve(size) {
        move_bytes(control().scratch_ptr, tracestates::data(id), size);
    } else {
        size = 0;
    }
    end();
    size
}
