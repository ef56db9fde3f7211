//! What answers are made of, each thing once: texts, functions, frames and chains of frames.
//!
//! Tables only grow, so that the host has to fetch only what is new. Number 0 is nothing in each of them.

use std::hash::{Hash, Hasher};

use crate::base::{Map, Mixer};

/// Numbers rows that are equal with the same number.
pub struct Table<const WIDTH: usize> {
    pub rows: Vec<[u32; WIDTH]>,
    /// Numbers of rows, each near the place that its hash tells; 0: free. At least half of them are.
    slots: Vec<u32>,
}

impl<const WIDTH: usize> Table<WIDTH> {
    fn new() -> Self {
        Self { rows: vec![[0; WIDTH]], slots: vec![0; 64] }
    }

    pub fn number(&mut self, row: [u32; WIDTH]) -> u32 {
        let mut at = self.place(&row);
        loop {
            match self.slots[at] {
                0 => break,
                known if self.rows[known as usize] == row => return known,
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
        let number = self.rows.len() as u32;
        self.rows.push(row);
        self.slots[at] = number;
        if 2 * self.rows.len() > self.slots.len() {
            self.grow();
        }
        number
    }

    fn place(&self, row: &[u32; WIDTH]) -> usize {
        let mut mixer = Mixer::default();
        for &word in row {
            mixer.write_u32(word);
        }
        // The upper bits are the better mixed ones.
        (mixer.finish() >> 32) as usize & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let size = 2 * self.slots.len();
        self.slots = Vec::new();
        self.slots = vec![0; size];
        for number in 1..self.rows.len() {
            let mut at = self.place(&self.rows[number]);
            while self.slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = number as u32;
        }
    }
}

/// Texts one behind the other; those with the same bytes have the same number.
pub struct Texts {
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<u32>,
    /// The last text with a hash, and for each text the one before it with the same hash.
    heads: Map<u64, u32>,
    before: Vec<u32>,
}

impl Texts {
    fn new() -> Self {
        Self { bytes: Vec::new(), ends: vec![0], heads: Map::default(), before: vec![0] }
    }

    pub fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start as usize..self.ends[at] as usize]
    }

    /// The number of a text; 0 of an empty one.
    pub fn number(&mut self, text: &[u8]) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let mut mixer = Mixer::default();
        text.hash(&mut mixer);
        let hash = mixer.finish();
        let head = self.heads.get(&hash).copied().unwrap_or(0);
        let mut at = head;
        while at != 0 {
            if self.get(at) == text {
                return at;
            }
            at = self.before[at as usize];
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
        self.before.push(head);
        self.heads.insert(hash, number);
        number
    }
}

pub struct Tables {
    pub texts: Texts,
    /// Name, linkage name: texts.
    pub functions: Table<2>,
    /// Function, file (a text), line, column, where the function's code begins (`NONE`: it is inlined, `NONE` - 1:
    /// it is not known).
    pub frames: Table<5>,
    /// Frame, the chain of those that it was inlined into.
    pub chains: Table<2>,
}

impl Tables {
    pub fn new() -> Self {
        Self { texts: Texts::new(), functions: Table::new(), frames: Table::new(), chains: Table::new() }
    }
}
