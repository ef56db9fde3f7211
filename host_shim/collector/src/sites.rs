//! Call sites: what never changes about one place in a guest's program ("Call site descriptor" in docs/abi.md).

use crate::control::limits;
use crate::guests::{Fixed, Guest, has_room};
use crate::heap;
use crate::intern;
use crate::memory::{P, Var, copy_loosely, move_bytes, r8, r16, r32, w8, w16, w32};
use crate::operation;
use crate::packed;
use crate::protobuf::varint;
use crate::rejections::{CALLSITE, CALLSITE_COUNT, DESCRIPTOR, KEPT_BYTES, reject_number};
use crate::text;
use crate::work;

const HEAD: u32 = 8;
pub const LOG: u32 = 1;
const SPAN: u32 = 2;
/// Readers may look at so many bytes behind a text.
const SLACK: u32 = 64;

/// A call site. It lies in one block behind its descriptor, and all that it refers to lies behind it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Site {
    pub kind: u32,
    pub severity: u32,
    /// Its name as a field of a span and of a log record; empty if it has none.
    pub name: u32,
    pub name_len: u32,
    /// Of each field name its address and length.
    pub fields: u32,
    pub field_count: u32,
    /// The tag that its attributes are encoded with.
    pub tag: u32,
    pub attributes: Fixed,
}

const SITE: u32 = core::mem::size_of::<Site>() as u32;

/// Call site 0: nothing is known.
static NONE: Var<[u64; 12]> = Var::new([0; 12]);
const _: () = assert!(core::mem::size_of::<Site>() <= 96);

/// Find a call site, and count one that is not known.
#[inline(always)]
pub fn get(guest: P<Guest>, id: u32) -> P<Site> {
    if id.wrapping_sub(1) < guest.sites.count {
        let sites = P::at(&raw const guest.sites as u32);
        return P::at(intern::entry(sites, id).value);
    }
    if id != 0 {
        reject_number(guest, CALLSITE, i64::from(id));
    }
    nothing()
}

/// Where the descriptor of a call site lies, and how long it is; nothing of call site 0.
pub fn descriptor(guest: P<Guest>, id: u32) -> (u32, u32) {
    if id == 0 {
        return (0, 0);
    }
    let entry = intern::entry(P::at(&raw const guest.sites as u32), id);
    (entry.data, entry.size)
}

/// Call site 0.
pub fn nothing() -> P<Site> {
    P::at(NONE.address())
}

// The reader of descriptors.
static SOURCE: Var<u32> = Var::new(0);
static END: Var<u32> = Var::new(0);

/// Register a call site: its descriptor is `size` bytes at `source`. Gives its id, or 0.
pub fn register(guest: P<Guest>, source: u32, size: u32) -> u32 {
    let sites = P::at(&raw const guest.sites as u32);
    let hash = intern::hash(source, size, 0);
    let known = intern::find(sites, hash, 0, source, size);
    if known != 0 {
        return known;
    }
    if guest.sites.count >= limits().callsites {
        reject_number(guest, CALLSITE_COUNT, i64::from(limits().callsites));
        return 0;
    }
    let kind = if size < HEAD { 0 } else { r8(source) };
    if (kind != LOG && kind != SPAN) || r8(source + 1) > 24 {
        reject_number(guest, DESCRIPTOR, i64::from(size));
        return 0;
    }
    let field_count = r16(source + 2);
    let line = r32(source + 4);
    // The table of field names, all texts, all attributes.
    let most = if field_count < size / 2 { field_count } else { size / 2 };
    let start = work::get(u64::from(most) * 8 + u64::from(size) * 4 + u64::from(guest.base.len) + 1024);
    if start == 0 {
        reject_number(guest, KEPT_BYTES, i64::from(size));
        return 0;
    }
    SOURCE.set(source + HEAD);
    END.set(source + size);
    let name = start + most * 8;
    let name_len = take_text(guest, name, limits().name);
    let target = name.wrapping_add(name_len);
    let target_len = if name_len == BAD { BAD } else { take_text(guest, target, limits().name) };
    let file = target.wrapping_add(target_len);
    let file_len = if target_len == BAD { BAD } else { take_text(guest, file, limits().name) };
    if file_len == BAD {
        reject_number(guest, DESCRIPTOR, i64::from(SOURCE.get() - source));
        return 0;
    }
    let mut at = file + file_len;
    let mut is_good = true;
    let mut index = 0;
    while index < field_count {
        let field_len = take_text(guest, at, packed::limit_of_guests_key());
        if field_len == BAD {
            is_good = false;
            break;
        }
        // With no more bytes than two for each there is one that is empty, and all is refused.
        if index < most {
            w32(start + index * 8, at);
            w32(start + index * 8 + 4, field_len);
        }
        is_good &= field_len != 0 && !packed::is_reserved(at, field_len);
        at += field_len;
        index += 1;
    }
    if !is_good {
        reject_number(guest, DESCRIPTOR, i64::from(SOURCE.get() - source));
        return 0;
    }
    // The host's attributes come first, so that the others are counted and told apart from them, and are left out then.
    let tag = if kind == LOG { packed::OF_LOG } else { packed::OF_SPAN };
    let base = P::at(&raw const guest.base as u32);
    let entries = at + SLACK;
    let mut end = packed::put_fixed(entries, base, packed::OF_SPAN, tag);
    let own = end - entries;
    let mut count = guest.base.count;
    let bloom: P<packed::Bloom> = P::at(BLOOM.address());
    BLOOM.set(guest.base.bloom);
    if target_len != 0 {
        w8(end, tag);
        end = packed::put_text_entry(end, KEY_TARGET.as_ptr() as u32, 16, target, target_len);
        packed::add_to_bloom(bloom, KEY_TARGET.as_ptr() as u32, 16);
        count += 1;
    }
    if file_len != 0 {
        w8(end, tag);
        end = packed::put_text_entry(end, KEY_FILE.as_ptr() as u32, 14, file, file_len);
        packed::add_to_bloom(bloom, KEY_FILE.as_ptr() as u32, 14);
        count += 1;
        if line != 0 {
            w8(end, tag);
            w8(end + 2, 0x0a);
            w8(end + 3, 16);
            copy_loosely(end + 4, KEY_LINE.as_ptr() as u32, 16);
            w16(end + 20, 0x12);
            w8(end + 22, 0x18);
            let value_end = varint(end + 23, u64::from(line));
            w8(end + 21, value_end - end - 22);
            w8(end + 1, value_end - end - 2);
            packed::add_to_bloom(bloom, KEY_LINE.as_ptr() as u32, 16);
            count += 1;
            end = value_end;
        }
    }
    packed::begin(guest);
    packed::begin_with(entries, end, end, BLOOM.get());
    packed::region_in_work();
    end = packed::encode(nothing(), SOURCE.get(), END.get() - SOURCE.get(), end, tag);
    // What was written may have moved as a whole.
    let moved = work::base().wrapping_sub(start);
    let entries = entries.wrapping_add(moved);
    end = packed::finish(entries, end, count);
    count = packed::kept();
    let entries = entries + own;

    if !has_room(guest, size) {
        return 0;
    }
    // One block: descriptor, call site, field names, texts, attributes.
    let site_at = (size + 7) & !7;
    let cap = site_at + SITE + (end - work::base()) + SLACK;
    let block = heap::alloc(cap);
    if block == 0 || !intern::has_room(sites) {
        heap::free(block, cap);
        reject_number(guest, KEPT_BYTES, i64::from(size));
        return 0;
    }
    move_bytes(block, source, size);
    let mut site: P<Site> = P::at(block + site_at);
    let table = block + site_at + SITE;
    move_bytes(table, work::base(), end - work::base());
    // From an address in the buffer, before it moved, to one in the block.
    let by = table.wrapping_sub(start);
    index = 0;
    while index < field_count {
        let field = table + index * 8;
        w32(field, r32(field).wrapping_add(by));
        index += 1;
    }
    site.kind = kind;
    site.severity = r8(source + 1);
    site.name = name.wrapping_add(by);
    site.name_len = name_len;
    site.fields = table;
    site.field_count = field_count;
    site.tag = tag;
    site.attributes.ptr = entries.wrapping_sub(moved).wrapping_add(by);
    site.attributes.len = end - entries;
    site.attributes.count = count - guest.base.count;
    site.attributes.bloom = packed::bloom();
    site.attributes.cap = 0;
    let id = intern::add(sites, hash, 0, block, size, cap, site.0);
    let mut guest = guest;
    guest.registered_bytes += u64::from(size);
    operation::commit();
    id
}

static BLOOM: Var<packed::Bloom> = Var::new([0; 4]);
static KEY_TARGET: [u8; 32] = *b"wasmscope.target\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static KEY_FILE: [u8; 32] = *b"code.file.path\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
static KEY_LINE: [u8; 32] = *b"code.line.number\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

const BAD: u32 = 0xffff_ffff;

/// Read a text of the descriptor to `to`; gives its length there, or BAD.
fn take_text(guest: P<Guest>, to: u32, limit: u32) -> u32 {
    let at = SOURCE.get();
    let left = END.get() - at;
    if left < 2 || left - 2 < r16(at) || r16(at) > limit {
        return BAD;
    }
    let size = r16(at);
    SOURCE.set(at + 2 + size);
    text::put(guest, to, at + 2, size) - to
}
