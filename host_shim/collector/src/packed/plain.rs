//! What may be in a set of attributes for measurements.

use super::entries::{key_of, next_entry};
use super::list::encode;
use super::region::{region_in_work, start};
use super::{DEAD, OF_SPAN, begin};
use crate::guests::Guest;
use crate::memory::{P, r8};
use crate::protobuf::skip_varint;
use crate::rejections::{ATTRIBUTE_TYPE, KEPT_BYTES, reject, reject_text};
use crate::work;

/// Count what is wrong with a list that is a set of attributes for measurements: their values are strings, bools,
/// integers, floats and arrays of one of these.
pub fn plain(guest: P<Guest>, source: u32, size: u32) {
    begin(guest);
    if work::get(u64::from(size) + 1_024) == 0 {
        reject(guest, KEPT_BYTES);
        return;
    }
    region_in_work();
    let end = encode(crate::sites::nothing(), source, size, work::base(), OF_SPAN);
    let mut entry = start();
    while entry < end {
        let (key, key_len) = key_of(entry);
        let next = next_entry(entry);
        // Behind the key: the tag and length of the value.
        if r8(entry) != DEAD && !is_plain(skip_varint(key + key_len + 1), next) {
            reject_text(guest, ATTRIBUTE_TYPE, key, key_len);
        }
        entry = next;
    }
}

/// Whether an AnyValue that lies between two addresses is of a plain type, or an array of one.
fn is_plain(from: u32, end: u32) -> bool {
    if from == end || r8(from) != 0x2a {
        return from != end && is_scalar(r8(from));
    }
    let mut p = skip_varint(from + 1);
    let mut first = 0;
    while p < end {
        let next = next_entry(p);
        p = skip_varint(p + 1);
        if p == next || !is_scalar(r8(p)) || (first != 0 && r8(p) != first) {
            return false;
        }
        first = r8(p);
        p = next;
    }
    true
}

fn is_scalar(tag: u32) -> bool {
    tag == 0x0a || tag == 0x10 || tag == 0x18 || tag == 0x21
}
