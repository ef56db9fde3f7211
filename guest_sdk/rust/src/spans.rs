//! The open spans of the subscriber.

use alloc::boxed::Box;

/// Values by handle: lists, chosen by hash. Guests have a few spans open, so the lists are short; with the host's limit of
/// 10,000 they are of 160. What is removed is freed.
pub(crate) struct Spans<V> {
    lists: [Option<Box<Node<V>>>; LISTS],
}

struct Node<V> {
    handle: i64,
    value: V,
    next: Option<Box<Node<V>>>,
}

const LISTS: usize = 64;

impl<V> Spans<V> {
    pub(crate) const fn new() -> Self {
        Self {
            lists: [const { None }; LISTS],
        }
    }

    fn list(&mut self, handle: i64) -> &mut Option<Box<Node<V>>> {
        let hash = (handle as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58;
        &mut self.lists[hash as usize % LISTS]
    }

    pub(crate) fn get(&mut self, handle: i64) -> Option<&mut V> {
        let mut next = self.list(handle).as_mut();
        while let Some(node) = next {
            if node.handle == handle {
                return Some(&mut node.value);
            }
            next = node.next.as_mut();
        }
        None
    }

    /// Adds a handle that is not in it.
    pub(crate) fn insert(&mut self, handle: i64, value: V) {
        let list = self.list(handle);
        let next = list.take();
        *list = Some(Box::new(Node {
            handle,
            value,
            next,
        }));
    }

    pub(crate) fn remove(&mut self, handle: i64) {
        let mut list = self.list(handle);
        while list.as_ref().is_some_and(|node| node.handle != handle) {
            match list {
                Some(node) => list = &mut node.next,
                None => return,
            }
        }
        if let Some(node) = list.take() {
            *list = node.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Spans;
    extern crate std;
    use std::collections::HashMap;

    #[test]
    fn does_what_the_standard_map_does() {
        let (mut ours, mut theirs) = (Spans::new(), HashMap::new());
        let mut random = 1u64;
        for step in 0..100_000u32 {
            // xorshift, by Marsaglia
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let handle = 1 + (random >> 20) as i64 % 500;
            match theirs.get(&handle) {
                Some(_) if random & 1 == 0 => {
                    ours.remove(handle);
                    theirs.remove(&handle);
                }
                None => {
                    ours.remove(handle);
                    ours.insert(handle, step);
                    theirs.insert(handle, step);
                }
                Some(value) => assert_eq!(ours.get(handle), Some(&mut value.clone())),
            }
        }
        for handle in 0..=501 {
            assert_eq!(ours.get(handle).copied(), theirs.get(&handle).copied());
        }
    }
}
