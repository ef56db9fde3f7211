//! The one place that touches memory: all others work with addresses that they have checked.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{Ordering, compiler_fence};

/// The address of a `T`; 0 is none and must not be looked at.
pub struct P<T>(pub u32, PhantomData<*mut T>);

impl<T> Copy for P<T> {}

impl<T> Clone for P<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> P<T> {
    pub const NONE: P<T> = P(0, PhantomData);

    #[inline(always)]
    pub const fn at(address: u32) -> Self {
        P(address, PhantomData)
    }

    #[inline(always)]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl<T> Deref for P<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // One thread, and no reference outlives the statement that made it.
        unsafe { &*(self.0 as *const T) }
    }
}

impl<T> DerefMut for P<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        unsafe { &mut *(self.0 as *mut T) }
    }
}

/// A global variable: a store has one thread.
#[repr(transparent)]
pub struct Var<T>(UnsafeCell<T>);

unsafe impl<T> Sync for Var<T> {}

impl<T: Copy> Var<T> {
    pub const fn new(value: T) -> Self {
        Var(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn get(&self) -> T {
        unsafe { *self.0.get() }
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        unsafe { *self.0.get() = value }
    }

    #[inline(always)]
    pub fn address(&self) -> u32 {
        self.0.get() as u32
    }
}

#[inline(always)]
pub fn r8(at: u32) -> u32 {
    unsafe { u32::from(*(at as *const u8)) }
}

#[inline(always)]
pub fn r16(at: u32) -> u32 {
    unsafe { u32::from((at as *const u16).read_unaligned()) }
}

#[inline(always)]
pub fn r32(at: u32) -> u32 {
    unsafe { (at as *const u32).read_unaligned() }
}

#[inline(always)]
pub fn r64(at: u32) -> u64 {
    unsafe { (at as *const u64).read_unaligned() }
}

#[inline(always)]
pub fn w8(at: u32, value: u32) {
    unsafe { *(at as *mut u8) = value as u8 }
}

#[inline(always)]
pub fn w16(at: u32, value: u32) {
    unsafe { (at as *mut u16).write_unaligned(value as u16) }
}

#[inline(always)]
pub fn w32(at: u32, value: u32) {
    unsafe { (at as *mut u32).write_unaligned(value) }
}

#[inline(always)]
pub fn w64(at: u32, value: u64) {
    unsafe { (at as *mut u64).write_unaligned(value) }
}

/// Copy bytes; the ranges may overlap.
#[inline(always)]
pub fn move_bytes(to: u32, from: u32, size: u32) {
    unsafe { core::ptr::copy(from as *const u8, to as *mut u8, size as usize) }
}

/// Copy bytes to where up to 31 more may be overwritten, from where as many more may be read.
/// `memory.copy` is a call into the engine: short ranges go without it.
#[inline(always)]
pub fn copy_loosely(to: u32, from: u32, size: u32) {
    if size <= 32 {
        let (a, b) = (r64(from), r64(from + 8));
        w64(to, a);
        w64(to + 8, b);
        if size > 16 {
            let (a, b) = (r64(from + 16), r64(from + 24));
            w64(to + 16, a);
            w64(to + 24, b);
        }
    } else {
        move_bytes(to, from, size);
    }
}

#[inline(always)]
pub fn fill(at: u32, size: u32) {
    unsafe { core::ptr::write_bytes(at as *mut u8, 0, size as usize) }
}

/// Whether two ranges hold the same bytes.
#[inline(always)]
pub fn is_equal(a: u32, b: u32, size: u32) -> bool {
    let mut i = 0;
    while i + 8 <= size {
        if r64(a + i) != r64(b + i) {
            return false;
        }
        i += 8;
    }
    while i < size {
        if r8(a + i) != r8(b + i) {
            return false;
        }
        i += 1;
    }
    true
}

/// A trap between two writes must find them in this order.
#[inline(always)]
pub fn fence() {
    compiler_fence(Ordering::SeqCst);
}
