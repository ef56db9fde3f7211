//! What a trap left behind is put right: what is in nobody's hands is given back, and what follows from other things is
//! worked out anew.

use crate::{guests, heap, intern, metrics, packed, ranges, work};
use crate::memory::P;

pub fn recover() {
    heap::forget();
    guests::mark();
    packed::mark();
    work::mark();
    ranges::mark();
    let mut number = 0;
    while number < guests::count() {
        let guest = guests::get(number);
        heap::mark(guest.spans.ptr, guest.spans_cap);
        heap::mark(guest.logs.ptr, guest.logs_cap);
        heap::mark(guest.metrics_ptr, guest.metrics_cap);
        heap::mark(guest.base.ptr, guest.base.cap);
        intern::mark(P::at(&raw const guest.sites as u32));
        metrics::mark(guest);
        number += 1;
    }
    heap::rebuild();
    number = 0;
    while number < guests::count() {
        let mut guest = guests::get(number);
        let sites = P::at(&raw const guest.sites as u32);
        intern::recover(sites);
        // metrics::recover adds its own.
        guest.registered_bytes = intern::bytes(sites);
        metrics::recover(guest);
        number += 1;
    }
}
