//! What every part uses: the reader of sections, hashing, the budget of work and the list of problems.

use core::hash::{BuildHasherDefault, Hasher};
use std::cell::Cell;
use std::collections::HashMap;

use gimli::{EndianSlice, LittleEndian};

/// Reads a section, which stays where the host wrote it as long as the instance lives.
pub type Reader = EndianSlice<'static, LittleEndian>;

/// No body, no scope, no entry.
pub const NONE: u32 = u32::MAX;

/// A quick hash for keys of a few words. Keys that were made to collide cost time, and time is bounded by the budget.
#[derive(Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(value.into());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// What was wrong with the debug information, or left out of it. The numbers are the host's, too (`_engine.py`).
#[derive(Clone, Copy)]
pub enum Problem {
    /// A unit's header or first entry cannot be read.
    Unit,
    /// Entries of a unit end in the middle, or use an abbreviation or a form that does not exist.
    Entries,
    /// A list of ranges cannot be read.
    Ranges,
    /// A line table's header or program cannot be read to its end.
    Lines,
    /// A function refers to another entry that is not there, or round and round.
    Reference,
    /// A range of code is not inside of one body.
    OutsideBody,
    /// A unit's split part (.dwo, .dwp) was not given.
    SplitMissing,
    /// More work than the budget allows.
    Limit,
    /// Inlined calls nested deeper than is looked at.
    Depth,
}

pub const PROBLEMS: usize = 9;

/// How often each problem was met, and how much more work may be done for the call that runs.
pub struct Ledger {
    problems: [Cell<u32>; PROBLEMS],
    left: Cell<u64>,
}

impl Ledger {
    pub fn new() -> Self {
        Self { problems: Default::default(), left: Cell::new(0) }
    }

    pub fn note(&self, problem: Problem) {
        let count = &self.problems[problem as usize];
        count.set(count.get().saturating_add(1));
    }

    pub fn counts(&self) -> impl Iterator<Item = u32> + '_ {
        self.problems.iter().map(Cell::get)
    }

    pub fn allow(&self, work: u64) {
        self.left.set(work);
    }

    /// Take from the budget; false if nothing is left, which is noted.
    #[inline]
    pub fn spend(&self, work: u64) -> bool {
        let left = self.left.get();
        if left < work {
            if left > 0 {
                self.note(Problem::Limit);
                self.left.set(0);
            }
            return false;
        }
        self.left.set(left - work);
        true
    }
}
