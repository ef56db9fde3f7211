//! What the host calls. Offsets and lengths are in bytes of the memory; README.md describes the control block.

use std::alloc::{Layout, alloc as allocate};
use std::cell::UnsafeCell;

use crate::answers::Answers;
use crate::base::Ledger;
use crate::bodies::Bodies;
use crate::debug::{Debug, SECTIONS, Sections};
use crate::reports;
use crate::tables::Tables;

struct Engine {
    sets: Vec<Sections>,
    debug: Option<Debug>,
    tables: Tables,
    answers: Answers,
    ledger: Ledger,
    out: Vec<u32>,
    control: Control,
}

/// Where everything is, renewed by each call.
#[repr(C)]
#[derive(Default)]
struct Control {
    /// Texts: the bytes, and where each ends. Then functions, frames, chains; then what a report wrote.
    /// Each as address and number of items.
    areas: [[u32; 2]; 6],
    problems: [u32; 16],
}

struct Global(UnsafeCell<Option<Engine>>);
// SAFETY: an instance has one thread.
unsafe impl Sync for Global {}
static ENGINE: Global = Global(UnsafeCell::new(None));

fn engine() -> &'static mut Engine {
    // SAFETY: exports do not call each other, and none keeps what it got.
    let slot = unsafe { &mut *ENGINE.0.get() };
    slot.get_or_insert_with(|| Engine {
        sets: Vec::new(),
        debug: None,
        tables: Tables::new(),
        answers: Answers::default(),
        ledger: Ledger::new(),
        out: Vec::new(),
        control: Control::default(),
    })
}

fn area<T>(items: &[T]) -> [u32; 2] {
    [items.as_ptr() as u32, items.len() as u32]
}

impl Engine {
    fn publish(&mut self) -> u32 {
        let tables = &self.tables;
        self.control.areas = [
            area(&tables.texts.bytes),
            area(&tables.texts.ends),
            area(&tables.functions.rows),
            area(&tables.frames.rows),
            area(&tables.chains.rows),
            area(&self.out),
        ];
        for (place, count) in self.control.problems.iter_mut().zip(self.ledger.counts()) {
            *place = count;
        }
        &raw const self.control as u32
    }
}

/// Room for `size` bytes, which stays. 0: there is none.
#[unsafe(no_mangle)]
extern "C" fn alloc(size: u32) -> u32 {
    match Layout::from_size_align(size.max(1) as usize, 16) {
        // SAFETY: the size is not 0.
        Ok(layout) => unsafe { allocate(layout) as u32 },
        Err(_) => 0,
    }
}

/// Say where section `id` of file `set` is: 0 is the module, others are split parts.
#[unsafe(no_mangle)]
extern "C" fn section(set: u32, id: u32, address: u32, size: u32) {
    let sets = &mut engine().sets;
    while sets.len() <= set as usize {
        sets.push([&[]; SECTIONS.len()]);
    }
    // SAFETY: the host wrote them there, into room that it was given.
    sets[set as usize][id as usize] = unsafe { core::slice::from_raw_parts(address as *const u8, size as usize) };
}

/// Read what is needed to find anything. `bodies` are starts, then as many ends. Gives the control block; 0: the bodies
/// are not in order.
#[unsafe(no_mangle)]
extern "C" fn open(bodies: u32, count: u32, work: u64) -> u32 {
    let engine = engine();
    engine.ledger.allow(work);
    // SAFETY: as above.
    let numbers = unsafe { core::slice::from_raw_parts(bodies as *const u32, 2 * count as usize) };
    let (starts, ends) = numbers.split_at(count as usize);
    let Some(bodies) = Bodies::new(starts.to_vec(), ends.to_vec()) else { return 0 };
    if engine.sets.is_empty() {
        engine.sets.push([&[]; SECTIONS.len()]);
    }
    engine.debug = Some(Debug::new(&engine.sets, bodies, &engine.ledger));
    engine.publish()
}

/// Put the number of its chain in place of each address.
#[unsafe(no_mangle)]
extern "C" fn lookup(addresses: u32, count: u32, work: u64) -> u32 {
    let engine = engine();
    engine.ledger.allow(work);
    // SAFETY: as above.
    let addresses = unsafe { core::slice::from_raw_parts_mut(addresses as *mut u32, count as usize) };
    if let Some(debug) = &engine.debug {
        engine.answers.look_up(addresses, debug, &mut engine.tables, &engine.ledger);
    }
    engine.publish()
}

/// Write a report: 0 functions, 1 rows from `a` to `b`, 2 units, 3 matching bodies, up to `a`.
#[unsafe(no_mangle)]
extern "C" fn report(kind: u32, a: u32, b: u32, work: u64) -> u32 {
    let engine = engine();
    engine.ledger.allow(work);
    engine.out.clear();
    if let Some(debug) = &engine.debug {
        let (tables, ledger, out) = (&mut engine.tables, &engine.ledger, &mut engine.out);
        match kind {
            0 => reports::functions(debug, tables, ledger, out),
            1 => reports::rows(debug, a, b, tables, ledger, out),
            2 => reports::units(debug, tables, ledger, out),
            _ => reports::match_bodies(debug, a, ledger, out),
        }
    }
    engine.publish()
}
