//! Texts of trace states, each once. An id is not given to another text for long. Nobody counts who refers to one: when there
//! are many, those that nothing refers to go.

use crate::contexts;
use crate::control::{Context, control};
use crate::guests;
use crate::heap;
use crate::intern::hash;
use crate::memory::{P, Var, fence, fill, is_equal, move_bytes};

#[repr(C)]
struct State {
    /// 0: free. Its place + 1 in the low 16 bits.
    id: u32,
    data: u32,
    size: u32,
    hash: u32,
    /// When it was last asked for by its text.
    used: u32,
    is_marked: u32,
}

const STATE: u32 = core::mem::size_of::<State>() as u32;
const MAX: u32 = 0xffff;
/// A longer text is no trace state.
const MAX_BYTES: u32 = 4_096;
/// The last so many stay, because the host may hold them: for the calls around the one that runs. If there were more
/// since, such a call loses its trace state, and nothing else.
const RECENT: u32 = 64;

static TABLE: Var<u32> = Var::new(0);
static CAP: Var<u32> = Var::new(0);
static COUNT: Var<u32> = Var::new(0);
static GENERATION: Var<u32> = Var::new(0);
static CLOCK: Var<u32> = Var::new(0);
/// Look for those that may go when there are so many.
static TIDY_AT: Var<u32> = Var::new(2 * RECENT);

fn at(index: u32) -> P<State> {
    P::at(TABLE.get() + index * STATE)
}

fn by_id(id: u32) -> P<State> {
    let index = (id & MAX).wrapping_sub(1);
    if index >= CAP.get() {
        return P::NONE;
    }
    let state = at(index);
    if state.id == id { state } else { P::NONE }
}

/// The length of a text; 0 if it is not known.
#[inline(always)]
pub fn size(id: u32) -> u32 {
    if id == 0 {
        return 0;
    }
    let state = by_id(id);
    if state.is_none() { 0 } else { state.size }
}

/// The address of a text that `size` knows.
pub fn data(id: u32) -> u32 {
    let state = by_id(id);
    if state.is_none() { 0 } else { state.data }
}

/// Keep a text; gives its id, 0 for an empty one or if there is no room.
pub fn keep(data: u32, size: u32) -> u32 {
    if size == 0 || size > MAX_BYTES {
        return 0;
    }
    let sum = hash(data, size, 0);
    CLOCK.set(CLOCK.get().wrapping_add(1));
    let mut free = CAP.get();
    let mut index = 0;
    while index < CAP.get() {
        let mut state = at(index);
        if state.id == 0 {
            if free == CAP.get() {
                free = index;
            }
        } else if state.hash == sum && state.size == size && is_equal(state.data, data, size) {
            state.used = CLOCK.get();
            return state.id;
        }
        index += 1;
    }
    if COUNT.get() >= TIDY_AT.get() {
        tidy();
    }
    if free == CAP.get() && !grow() {
        // No memory, or as many as there can be.
        tidy();
        free = first_free();
        if free == CAP.get() {
            return 0;
        }
    }
    let mut block = heap::alloc(size);
    if block == 0 {
        tidy();
        block = heap::alloc(size);
        if block == 0 {
            return 0;
        }
    }
    move_bytes(block, data, size);
    GENERATION.set(GENERATION.get().wrapping_add(1));
    let id = (GENERATION.get() & MAX) << 16 | (free + 1);
    let mut state = at(free);
    state.data = block;
    state.size = size;
    state.hash = sum;
    state.used = CLOCK.get();
    state.is_marked = 0;
    fence();
    state.id = id;
    COUNT.set(COUNT.get() + 1);
    id
}

/// The first free place of the table; behind its end if there is none.
fn first_free() -> u32 {
    let mut index = 0;
    while index < CAP.get() && at(index).id != 0 {
        index += 1;
    }
    index
}

fn grow() -> bool {
    let cap = CAP.get();
    let more = if cap == 0 { 16 } else { cap * 2 };
    if more > MAX {
        return false;
    }
    let block = heap::alloc(more * STATE);
    if block == 0 {
        return false;
    }
    fill(block, more * STATE);
    let old = TABLE.get();
    move_bytes(block, old, cap * STATE);
    TABLE.set(block);
    CAP.set(more);
    heap::free(old, cap * STATE);
    true
}

/// Let those go that nothing refers to.
fn tidy() {
    let control = control();
    note(P::at(&raw const control.frame as u32));
    note_id(control.current_tracestate);
    let mut number = 0;
    while number < guests::count() {
        let guest = guests::get(number);
        contexts::each_slot(guest, |slot| note(P::at(slot.0)));
        contexts::each_remote(guest, note);
        number += 1;
    }
    let mut kept = 0;
    let mut index = 0;
    while index < CAP.get() {
        let mut state = at(index);
        if state.id != 0 {
            if state.is_marked != 0 || CLOCK.get().wrapping_sub(state.used) <= RECENT {
                state.is_marked = 0;
                kept += 1;
            } else {
                state.id = 0;
                heap::free(state.data, state.size);
            }
        }
        index += 1;
    }
    COUNT.set(kept);
    TIDY_AT.set((kept + RECENT) * 2);
}

fn note(context: P<Context>) {
    note_id(context.tracestate);
}

fn note_id(id: u32) {
    if id != 0 {
        let mut state = by_id(id);
        if !state.is_none() {
            state.is_marked = 1;
        }
    }
}

/// After a trap: mark the blocks.
pub fn mark() {
    heap::mark(TABLE.get(), CAP.get() * STATE);
    let mut count = 0;
    let mut index = 0;
    while index < CAP.get() {
        let state = at(index);
        if state.id != 0 {
            heap::mark(state.data, state.size);
            count += 1;
        }
        index += 1;
    }
    COUNT.set(count);
}
