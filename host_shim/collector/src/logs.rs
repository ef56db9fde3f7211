//! Log records (LogRecord in opentelemetry/proto/logs/v1/logs.proto).

use crate::contexts;
use crate::control::{Context, control, limits};
use crate::guests::Guest;
use crate::host;
use crate::memory::{P, copy_loosely, r64, w8, w16, w32, w64};
use crate::operation;
use crate::output;
use crate::packed;
use crate::protobuf::{varint, varint_size};
use crate::ranges;
use crate::rejections::{SEVERITY, reject_number};
use crate::sites::{self, Site};
use crate::text;

/// Fields of fixed sizes, and room to write loosely.
const HEAD: u64 = 160;

/// Names of the severity numbers: length in the first byte.
static NAMES: [[u8; 8]; 25] = [
    *b"\0\0\0\0\0\0\0\0",
    *b"\x05TRACE\0\0",
    *b"\x06TRACE2\0",
    *b"\x06TRACE3\0",
    *b"\x06TRACE4\0",
    *b"\x05DEBUG\0\0",
    *b"\x06DEBUG2\0",
    *b"\x06DEBUG3\0",
    *b"\x06DEBUG4\0",
    *b"\x04INFO\0\0\0",
    *b"\x05INFO2\0\0",
    *b"\x05INFO3\0\0",
    *b"\x05INFO4\0\0",
    *b"\x04WARN\0\0\0",
    *b"\x05WARN2\0\0",
    *b"\x05WARN3\0\0",
    *b"\x05WARN4\0\0",
    *b"\x05ERROR\0\0",
    *b"\x06ERROR2\0",
    *b"\x06ERROR3\0",
    *b"\x06ERROR4\0",
    *b"\x05FATAL\0\0",
    *b"\x06FATAL2\0",
    *b"\x06FATAL3\0",
    *b"\x06FATAL4\0",
];

/// The ABI's `log`.
#[inline(always)]
pub fn log(guest: P<Guest>, site: u32, severity: u32, context: i64, body_len: i64, attrs_len: i64) {
    let limits = limits();
    let site = sites::get(guest, site);
    let mut severity = if severity == 0 { site.severity } else { severity };
    if severity > 24 {
        reject_number(guest, SEVERITY, i64::from(severity));
        severity = 0;
    }
    if severity < control().min_severity && severity != 0 {
        operation::commit();
        return;
    }
    ranges::begin();
    let there = ranges::text_size(body_len, limits.body);
    let body = ranges::take(there);
    let list_size = ranges::list_size(attrs_len, limits.attributes_bytes);
    let list = ranges::take(list_size);
    ranges::is_readable(guest, body_len);
    let body_size = ranges::cut(body, there, limits.body);
    ranges::check_list(guest, attrs_len);
    let found = contexts::resolve::<true>(guest, context);
    let now = host::now();
    output::age(guest, now);

    // What the guest's attributes take is found out when they are written: then the record may move.
    let need = HEAD
        + text::room(body, body_size)
        + u64::from(site.name_len)
        + u64::from(site.attributes.len)
        + u64::from(guest.base.len)
        + u64::from(list_size);
    let at = output::room::<true>(guest, need);
    if at == 0 {
        operation::commit();
        return;
    }
    let mut end = put_head(at + 3, found, severity, now, site);
    end = put_body(guest, end, body, body_size);
    let fixed_start = end;
    let base_end = packed::put_fixed(end, P::at(&raw const guest.base as u32), packed::OF_SPAN, packed::OF_LOG);
    end = packed::put_fixed(base_end, P::at(&raw const site.attributes as u32), site.tag, packed::OF_LOG);
    if list_size != 0 || body_size != there {
        packed::begin(guest);
        packed::begin_with(fixed_start, base_end, end, packed::joined(&guest.base.bloom, &site.attributes.bloom));
        packed::region(at, guest.logs.ptr + guest.logs_cap);
        if body_size != there {
            packed::note_body(body_len);
        }
        end = packed::encode(site, list, list_size, end, packed::OF_LOG);
        let start = packed::start();
        end = packed::finish(start + (fixed_start - at), end, guest.base.count + site.attributes.count);
        if start != at {
            output::copy::<true>(guest, start + 3, end - start - 3, now);
            return;
        }
    }
    let end = output::close(at, end);
    let mut guest = guest;
    output::commit::<true>(guest, end, now);
    guest.logs_made += 1;
}

#[inline(always)]
fn put_head(at: u32, found: P<Context>, severity: u32, now: u64, site: P<Site>) -> u32 {
    w8(at, 0x09);
    w64(at + 1, now);
    w8(at + 9, 0x59);
    w64(at + 10, now);
    let mut at = at + 18;
    if severity != 0 {
        // SAFETY: it is at most 24.
        let name = unsafe { NAMES.get_unchecked(severity as usize) }.as_ptr() as u32;
        let word = r64(name);
        let size = (word & 0xff) as u32;
        w8(at, 0x10);
        w16(at + 1, severity | 0x1a00);
        w64(at + 3, word);
        at += 4 + size;
    }
    if found.flags != 0 {
        w8(at, 0x45);
        w32(at + 1, u32::from(found.flags));
        at += 5;
    }
    if found.is_valid != 0 {
        w16(at, 0x104a);
        w64(at + 2, found.trace_id[0]);
        w64(at + 10, found.trace_id[1]);
        w16(at + 18, 0x0852);
        w64(at + 20, found.span_id);
        at += 28;
    }
    if site.name_len != 0 {
        w8(at, 0x62);
        let to = varint(at + 1, u64::from(site.name_len));
        copy_loosely(to, site.name, site.name_len);
        at = to + site.name_len;
    }
    at
}

/// Write the body: a message with text in it.
#[inline(always)]
fn put_body(guest: P<Guest>, at: u32, body: u32, size: u32) -> u32 {
    w8(at, 0x2a);
    w8(at + 2, 0x0a);
    if size <= 40 {
        // However it is repaired, its length takes one byte.
        let end = text::put(guest, at + 4, body, size);
        w8(at + 3, end - at - 4);
        w8(at + 1, end - at - 2);
        return end;
    }
    let is_good = text::is_utf8(body, size);
    let sure = if is_good { size } else { text::repaired_size(body, size) };
    let inner = 1 + varint_size(u64::from(sure)) + sure;
    let to = varint(at + 1, u64::from(inner));
    w8(to, 0x0a);
    let to = varint(to + 1, u64::from(sure));
    if is_good {
        copy_loosely(to, body, size);
        return to + size;
    }
    text::put(guest, to, body, size)
}

/// Write a log record of an exception into the work buffer: all but its attributes.
pub fn put_exception(guest: P<Guest>, at: u32, severity: u32, message: u32, size: u32, now: u64) -> u32 {
    let found = contexts::resolve::<true>(guest, contexts::CURRENT);
    let end = put_head(at, found, severity, now, sites::nothing());
    // It is repaired already.
    put_body(guest, end, message, size)
}
