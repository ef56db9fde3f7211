//! A Bloom filter: a bit for each key that is there, so that most keys are known to be new without a look at the others.

use crate::memory::{P, Var, r64, w64};

pub type Bloom = [u64; 4];

/// Of the record that is being made.
pub static BLOOM: Var<Bloom> = Var::new([0; 4]);

pub fn bloom() -> Bloom {
    BLOOM.get()
}

/// One of 256 bits for a key.
#[inline(always)]
fn bloom_hash(key: u32, key_len: u32) -> u32 {
    let mixed = if key_len >= 8 {
        r64(key) ^ r64(key + key_len - 8).rotate_left(29)
    } else {
        r64(key) << ((64 - 8 * key_len) & 63)
    };
    ((mixed ^ u64::from(key_len)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u32
}

/// Note a key; false if one with the same bit is noted already.
#[inline(always)]
pub fn take_bloom_bit(key: u32, key_len: u32) -> bool {
    let hash = bloom_hash(key, key_len);
    let word = BLOOM.address() + (hash >> 6) * 8;
    let bit = 1 << (hash & 63);
    let old = r64(word);
    w64(word, old | bit);
    old & bit == 0
}

/// The bit of one key.
pub fn add_to_bloom(bloom: P<Bloom>, key: u32, key_len: u32) {
    let hash = bloom_hash(key, key_len);
    let word = bloom.0 + (hash >> 6) * 8;
    w64(word, r64(word) | 1 << (hash & 63));
}

#[inline(always)]
pub fn joined(a: &Bloom, b: &Bloom) -> Bloom {
    [a[0] | b[0], a[1] | b[1], a[2] | b[2], a[3] | b[3]]
}

#[inline(always)]
pub fn may_meet(a: &Bloom, b: &Bloom) -> bool {
    a[0] & b[0] | a[1] & b[1] | a[2] & b[2] | a[3] & b[3] != 0
}
