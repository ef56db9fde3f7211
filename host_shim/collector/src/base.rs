//! What the host puts on every record of a guest.

use crate::guests::Guest;
use crate::heap;
use crate::memory::{P, fence, move_bytes};
use crate::packed::{self, OF_SPAN};
use crate::ranges;
use crate::sites;
use crate::work;

const SLACK: u32 = 64;

/// Take attributes from the packed list in scratch. False if there is no memory.
pub fn set(guest: P<Guest>, attrs_len: i64) -> bool {
    ranges::begin();
    let size = ranges::list_size(attrs_len, crate::control::control().scratch_cap);
    let list = ranges::take(size);
    let start = work::get(u64::from(size) + 1_024);
    if start == 0 {
        return false;
    }
    packed::begin(guest);
    packed::trust();
    packed::region_in_work();
    let end = packed::encode(sites::nothing(), list, size, start, OF_SPAN);
    let start = packed::start();
    let len = packed::compact(start, end) - start;
    let cap = heap::rounded(len + SLACK);
    let block = heap::alloc(cap);
    if block == 0 {
        return false;
    }
    move_bytes(block, start, len);
    let mut guest = guest;
    let old = guest.base;
    fence();
    guest.base.ptr = block;
    guest.base.len = len;
    guest.base.count = packed::given();
    guest.base.bloom = packed::bloom();
    guest.base.cap = cap;
    fence();
    heap::free(old.ptr, old.cap);
    true
}
