//! What the subscriber and the logger remember, without the standard library's maps and locks: they would
//! be larger than the rest of this crate.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::abi;
use crate::buffer::Buffer;

/// Whether other threads can be running the guest's code.
const THREADS: bool = !abi::IS_GUEST || cfg!(target_feature = "atomics");

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
    #[inline]
    pub(crate) fn with<R>(&self, then: impl FnOnce(&mut T) -> R) -> R {
        while THREADS && self.held.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: this thread holds the lock, or is the only one; and `then` does not come back here.
        let result = then(unsafe { &mut *self.value.get() });
        if THREADS {
            self.held.store(false, Ordering::Release);
        }
        result
    }
}

/// What is remembered of a call site.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    /// What the program knows it by; 0 is none.
    key: u64,
    /// The host's id; 0 if it did not take the call site.
    pub(crate) id: i32,
    /// The host's answer to `enabled`.
    enabled: u8,
    /// Whether it has fields that mean more than an attribute.
    #[cfg_attr(not(feature = "tracing"), allow(dead_code))]
    pub(crate) is_special: bool,
}

/// The call sites used last, one for each remainder of the key. A place that finds its slot taken registers again, for which the
/// host gives the same id: a call or two more, but no memory that grows.
pub(crate) struct Sites(Lock<[Site; 256]>);

impl Sites {
    pub(crate) const fn new() -> Self {
        let none = Site {
            key: 0,
            id: 0,
            enabled: 0,
            is_special: false,
        };
        Self(Lock::new([none; 256]))
    }

    /// The call site of `key`; `describe` writes its descriptor and says whether it is special.
    #[inline]
    pub(crate) fn get(&self, key: u64, describe: impl FnOnce(&mut Buffer) -> bool) -> Site {
        let slot = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as usize & 255;
        let site = self.0.with(|sites| sites[slot]);
        if site.key == key && key != 0 {
            return site;
        }
        let mut descriptor = Buffer::new();
        let is_special = describe(&mut descriptor);
        let id = crate::callsite::register(&descriptor);
        let enabled = abi::enabled(id) as u8;
        let site = Site {
            key,
            id,
            enabled,
            is_special,
        };
        self.0.with(|sites| sites[slot] = site);
        site
    }
}

impl Site {
    /// The host's answer where it holds for good.
    #[inline]
    pub(crate) fn known(self) -> Option<bool> {
        (self.enabled & 2 != 0).then_some(self.enabled & 1 != 0)
    }

    #[inline]
    pub(crate) fn is_enabled(self) -> bool {
        self.known()
            .unwrap_or_else(|| abi::enabled(self.id) & 1 != 0)
    }
}
