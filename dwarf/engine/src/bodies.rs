//! The bodies of the module's functions: the only places that debug information may speak of.

use crate::base::NONE;

/// Offsets in the code section's contents, in the module's order.
pub struct Bodies {
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl Bodies {
    /// Takes those that come one behind the other, and no others: the host's are of that kind.
    pub fn new(starts: Vec<u32>, ends: Vec<u32>) -> Option<Self> {
        let mut last = 0;
        for (&start, &end) in starts.iter().zip(&ends) {
            if start < last || end < start {
                return None;
            }
            last = end;
        }
        (starts.len() == ends.len()).then_some(Self { starts, ends })
    }

    pub fn len(&self) -> u32 {
        self.starts.len() as u32
    }

    pub fn start(&self, body: u32) -> u32 {
        self.starts[body as usize]
    }

    pub fn end(&self, body: u32) -> u32 {
        self.ends[body as usize]
    }

    /// The end of the last one.
    pub fn limit(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The body that an offset is in, or `NONE`.
    pub fn find(&self, offset: u32) -> u32 {
        match self.starts.partition_point(|&start| start <= offset) {
            0 => NONE,
            after if offset < self.ends[after - 1] => after as u32 - 1,
            _ => NONE,
        }
    }

    /// The body that holds a whole range, or `NONE`.
    pub fn find_range(&self, low: u64, high: u64) -> u32 {
        if low >= high || high > self.limit().into() {
            return NONE;
        }
        let body = self.find(low as u32);
        if body != NONE && high <= self.end(body).into() { body } else { NONE }
    }

    /// The first body that ends after an offset, `len` if there is none.
    pub fn first_after(&self, offset: u32) -> u32 {
        self.ends.partition_point(|&end| end <= offset) as u32
    }
}
