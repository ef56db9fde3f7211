//! A hash map of numbers, and a lock: a tenth of the code that the standard ones bring.

use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// Values by key, with open addressing. Key 0 is the empty slot. Nothing here panics.
pub(crate) struct Map<V> {
    /// A power of two, or none.
    slots: Vec<(u64, V)>,
    used: usize,
}

impl<V: Copy> Map<V> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            used: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Where a key belongs. Keys may be addresses or counters: the product spreads them.
    fn home(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize & self.mask()
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// The slot that has `key`, else the empty one where it would go.
    fn find(&self, key: u64) -> Option<usize> {
        let mut at = self.home(key);
        for _ in 0..self.slots.len() {
            match self.slots.get(at) {
                Some(&(found, _)) if found == key || found == 0 => return Some(at),
                _ => at = (at + 1) & self.mask(),
            }
        }
        None
    }

    pub(crate) fn get(&mut self, key: u64) -> Option<&mut V> {
        let at = self.find(key)?;
        match self.slots.get_mut(at) {
            Some((found, value)) if *found == key && key != 0 => Some(value),
            _ => None,
        }
    }

    /// Adds or replaces; without memory the value is not kept.
    pub(crate) fn insert(&mut self, key: u64, value: V) {
        if key == 0 || (self.used * 4 >= self.slots.len() * 3 && !self.grow(value)) {
            return;
        }
        if let Some(slot) = self.find(key).and_then(|at| self.slots.get_mut(at)) {
            if slot.0 == 0 {
                self.used += 1;
            }
            *slot = (key, value);
        }
    }

    /// Doubles the slots. `any` is a value to fill the empty ones with.
    fn grow(&mut self, any: V) -> bool {
        let size = (self.slots.len() * 2).max(16);
        let mut slots = Vec::new();
        if slots.try_reserve_exact(size).is_err() {
            return false;
        }
        slots.resize(size, (0, any));
        let before = core::mem::replace(&mut self.slots, slots);
        for entry in before {
            if let Some(slot) = self.find(entry.0).and_then(|at| self.slots.get_mut(at)) {
                *slot = entry;
            }
        }
        true
    }

    pub(crate) fn remove(&mut self, key: u64) {
        if self.get(key).is_none() {
            return;
        }
        let Some(mut hole) = self.find(key) else {
            return;
        };
        self.used -= 1;
        // What comes after moves up, so that no search ends too early: an entry may fill the hole unless its home is after it.
        let mut at = hole;
        for _ in 0..self.slots.len() {
            at = (at + 1) & self.mask();
            let Some(&(next, value)) = self.slots.get(at) else {
                return;
            };
            if next == 0 {
                break;
            }
            let from_home = at.wrapping_sub(self.home(next)) & self.mask();
            let from_hole = at.wrapping_sub(hole) & self.mask();
            if from_home >= from_hole {
                if let Some(slot) = self.slots.get_mut(hole) {
                    *slot = (next, value);
                }
                hole = at;
            }
        }
        if let Some(slot) = self.slots.get_mut(hole) {
            slot.0 = 0;
        }
    }
}

/// Whether other threads can be running the guest's code.
const THREADS: bool = cfg!(any(
    not(any(target_arch = "wasm32", target_arch = "wasm64")),
    target_feature = "atomics"
));

/// A value shared by all threads.
///
/// Where there is one thread, nothing is locked: a guest that trapped while it held the lock (out of fuel, say) could
/// otherwise never be called again.
pub(crate) struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `with` lets one thread at a time at the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Calls `then` with the value. `then` must not call `with` of the same lock, nor code of the program's.
    pub(crate) fn with<R>(&self, then: impl FnOnce(&mut T) -> R) -> R {
        while THREADS && self.held.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: this thread holds the lock, or is the only one; and `then` does not come back here.
        let result = then(unsafe { &mut *self.value.get() });
        self.held.store(false, Ordering::Release);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::Map;
    extern crate std;
    use std::collections::HashMap;

    #[test]
    fn does_what_the_standard_map_does() {
        let (mut ours, mut theirs) = (Map::new(), HashMap::new());
        let mut random = 1u64;
        for step in 0..200_000u32 {
            // xorshift, by Marsaglia
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let key = 1 + (random >> 20) % 500;
            match random % 3 {
                0 => {
                    ours.remove(key);
                    theirs.remove(&key);
                }
                1 => {
                    ours.insert(key, step);
                    theirs.insert(key, step);
                }
                _ => assert_eq!(ours.get(key).copied(), theirs.get(&key).copied()),
            }
            assert_eq!(ours.len(), theirs.len());
        }
        for key in 1..=500 {
            assert_eq!(ours.get(key).copied(), theirs.get(&key).copied());
        }
    }

    #[test]
    fn takes_no_key_0() {
        let mut map = Map::new();
        map.insert(0, 1);
        map.insert(7, 1);
        assert_eq!(map.get(0), None);
        map.remove(0);
        assert_eq!(map.len(), 1);
    }
}
