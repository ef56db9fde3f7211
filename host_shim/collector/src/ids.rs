//! Random ids: xoshiro256++ by Blackman and Vigna (https://prng.di.unimi.it/), seeded by the host.

use crate::memory::Var;

static STATE: Var<[u64; 4]> = Var::new([1, 2, 3, 4]);

pub fn seed(s0: u64, s1: u64, s2: u64, s3: u64) {
    if s0 | s1 | s2 | s3 != 0 {
        STATE.set([s0, s1, s2, s3]);
    }
}

/// A number that is not 0.
#[inline(always)]
pub fn next() -> u64 {
    let [s0, s1, s2, s3] = STATE.get();
    let number = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);
    let (a, b) = (s2 ^ s0, s3 ^ s1);
    STATE.set([s0 ^ b, s1 ^ a, a ^ s1 << 17, b.rotate_left(45)]);
    if number == 0 { 1 } else { number }
}
