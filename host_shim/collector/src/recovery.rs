//! What a trap left behind is put right: what is in nobody's hands is given back, and what follows from other things is
//! worked out anew.

use crate::control::control;
use crate::memory::P;
use crate::{contexts, guests, heap, host, intern, metrics, packed, ranges, rejections, spans, tracestates, work};

/// Also after a trap in itself: it begins anew.
pub fn recover() {
    let mut control = control();
    heap::forget();
    guests::mark();
    packed::mark();
    work::mark();
    ranges::mark();
    rejections::mark();
    contexts::mark_stack();
    tracestates::mark();
    host::mark();
    spans::mark_reported();
    control.open_spans = 0;
    let mut out_bytes = 0;
    let mut number = 0;
    while number < guests::count() {
        let guest = guests::get(number);
        heap::mark(guest.spans.ptr, guest.spans_cap);
        heap::mark(guest.logs.ptr, guest.logs_cap);
        heap::mark(guest.metrics_ptr, guest.metrics_cap);
        heap::mark(guest.base.ptr, guest.base.cap);
        intern::mark(P::at(&raw const guest.sites as u32));
        contexts::mark(guest);
        spans::mark(guest);
        metrics::mark(guest);
        out_bytes += guest.spans.len + guest.logs.len;
        number += 1;
    }
    control.out_bytes = out_bytes;
    contexts::recover_stack();
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
