//! Which bucket of a histogram a value belongs to. Buckets end with their upper boundary.
//!
//! Exponential ones: <https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram>. The index is
//! worked out at scale 20, the largest there is; that of a lower scale is the same with the lowest bits dropped.

use crate::memory::P;

/// So many infinities are behind the boundaries: they are looked at in fours.
pub const AFTER_BOUNDS: u32 = 3;

/// Boundaries of histograms that have none of their own ("Explicit Bucket Histogram Aggregation" in the specification of
/// the metrics SDK).
pub static DEFAULT_BOUNDS: [f64; 18] = [
    0.0,
    5.0,
    10.0,
    25.0,
    50.0,
    75.0,
    100.0,
    250.0,
    500.0,
    750.0,
    1000.0,
    2500.0,
    5000.0,
    7500.0,
    10000.0,
    f64::INFINITY,
    f64::INFINITY,
    f64::INFINITY,
];
/// How many boundaries these are.
pub const DEFAULT_COUNT: u32 = 15;

pub const MAX_SCALE: u32 = 20;

/// So many boundaries are looked at without a loop.
pub const FEW: u32 = 16;

/// How many boundaries are below a value, of at most FEW.
#[inline(always)]
pub fn explicit_few(bounds: u32, count: u32, value: f64) -> u32 {
    // Looking at each costs less than a jump that was not foreseen.
    let mut below = below_of_four(bounds, 0, value);
    if count > 4 {
        below += below_of_four(bounds, 4, value);
    }
    if count > 8 {
        below += below_of_four(bounds, 8, value);
    }
    if count > 12 {
        below += below_of_four(bounds, 12, value);
    }
    below
}

/// The same, of any number.
pub fn explicit(bounds: u32, count: u32, value: f64) -> u32 {
    let (mut low, mut left) = (0, count);
    while left > FEW {
        let half = left / 2;
        if at(bounds, low + half - 1) < value {
            low += half;
            left -= half;
        } else {
            left = half;
        }
    }
    low + explicit_few(bounds + low * 8, left, value)
}

#[inline(always)]
fn below_of_four(bounds: u32, i: u32, value: f64) -> u32 {
    let two = (at(bounds, i) < value) as u32 + (at(bounds, i + 1) < value) as u32;
    two + (at(bounds, i + 2) < value) as u32 + (at(bounds, i + 3) < value) as u32
}

#[inline(always)]
fn at(bounds: u32, i: u32) -> f64 {
    *P::<f64>::at(bounds + i * 8)
}

const FRACTION_BITS: u32 = 52;
const ONE: u64 = 1023 << FRACTION_BITS;
const TABLE_BITS: u32 = 6;
const STEPS: f64 = (1u32 << MAX_SCALE) as f64;
const LN_2: f64 = core::f64::consts::LN_2;
/// The logarithm is off by less, in buckets.
const DOUBT: f64 = 1.0 / 32768.0;

/// For each 64th of [1, 2): the reciprocal of its middle, and -log2 of that in buckets.
static LOGARITHMS: [(f64, f64); 1 << TABLE_BITS] = logarithms();

/// The index at scale 20 of a value that is finite and above 0. Right for each such value but those below the smallest
/// normal one, which count as that, as the specification allows and the SDKs have it.
pub fn exponential(value: f64) -> i32 {
    let index = exponential_quick(value);
    if index != DOUBTFUL {
        return index;
    }
    let (exponent, mantissa) = parts(value);
    let nearest = (position(mantissa) + 0.5) as i32;
    (exponent << MAX_SCALE) + nearest - !is_above(mantissa, nearest as u32) as i32
}

/// No index.
pub const DOUBTFUL: i32 = i32::MIN;

/// The same with neither a loop nor a call, or DOUBTFUL where that takes one: for one in 16,000 values.
#[inline(always)]
pub fn exponential_quick(value: f64) -> i32 {
    let (exponent, mantissa) = parts(value);
    // A power of two ends its bucket.
    if mantissa == 1.0 || exponent < -1022 {
        return (exponent.max(-1022) << MAX_SCALE) - 1;
    }
    let position = position(mantissa);
    let below = position as i32;
    let rest = position - below as f64;
    if rest < DOUBT || rest > 1.0 - DOUBT { DOUBTFUL } else { (exponent << MAX_SCALE) + below }
}

/// A number from 1 to 2 and the power of two that make the value, if it is a normal one.
#[inline(always)]
fn parts(value: f64) -> (i32, f64) {
    let bits = value.to_bits();
    let mantissa = f64::from_bits(bits & ((1 << FRACTION_BITS) - 1) | ONE);
    ((bits >> FRACTION_BITS) as i32 - 1023, mantissa)
}

/// How many buckets lie between 1 and a value below 2, off by less than DOUBT.
#[inline(always)]
fn position(mantissa: f64) -> f64 {
    let step = (mantissa.to_bits() >> (FRACTION_BITS - TABLE_BITS)) as usize & ((1 << TABLE_BITS) - 1);
    let (reciprocal, logarithm) = LOGARITHMS[step];
    // log2(m) = -log2(c) + log2(1 + (m c - 1)), the latter by its series: |r| < 1/128, so that what is left out is
    // below 1/128^5 / 5 / ln 2 * 2^20 = 9e-6 buckets.
    let r = mantissa * reciprocal - 1.0;
    const K: [f64; 4] = [STEPS / LN_2, -STEPS / LN_2 / 2.0, STEPS / LN_2 / 3.0, -STEPS / LN_2 / 4.0];
    logarithm + r * (K[0] + r * (K[1] + r * (K[2] + r * K[3])))
}

/// Whether a value from 1 to 2 is above 2^(step/2^20), exactly: the power is worked out to 100 bits, and none but 1 and
/// 2 comes nearer than that to a number of 53 bits.
#[inline(never)]
fn is_above(value: f64, step: u32) -> bool {
    if step >> MAX_SCALE != 0 {
        return false;
    }
    let mut power = (1.0, 0.0);
    let mut bit = 0;
    while bit < MAX_SCALE {
        if step >> (MAX_SCALE - 1 - bit) & 1 != 0 {
            power = product(power, ROOTS[bit as usize]);
        }
        bit += 1;
    }
    value > power.0 || value == power.0 && 0.0 > power.1
}

/// 2^(1/2), 2^(1/4), ... 2^(1/2^20), each the sum of two numbers.
static ROOTS: [(f64, f64); MAX_SCALE as usize] = roots();

const fn logarithms() -> [(f64, f64); 1 << TABLE_BITS] {
    let mut table = [(0.0, 0.0); 1 << TABLE_BITS];
    let mut i = 0;
    while i < 1 << TABLE_BITS {
        let reciprocal = 1.0 / (1.0 + (i as f64 + 0.5) / (1 << TABLE_BITS) as f64);
        // ln x = 2 artanh((x - 1) / (x + 1))
        let z = (reciprocal - 1.0) / (reciprocal + 1.0);
        let (mut sum, mut power, mut n) = (0.0, z, 1);
        while n < 45 {
            sum += power / n as f64;
            power *= z * z;
            n += 2;
        }
        table[i] = (reciprocal, -2.0 * sum / LN_2 * STEPS);
        i += 1;
    }
    table
}

const fn roots() -> [(f64, f64); MAX_SCALE as usize] {
    let mut table = [(0.0, 0.0); MAX_SCALE as usize];
    let mut square = (2.0, 0.0);
    let mut i = 0;
    while i < MAX_SCALE as usize {
        square = root(square);
        table[i] = square;
        i += 1;
    }
    table
}

const fn root(of: (f64, f64)) -> (f64, f64) {
    let mut near = of.0;
    let mut turn = 0;
    while turn < 8 {
        near = (near + of.0 / near) / 2.0;
        turn += 1;
    }
    let (square, rest) = exact_product(near, near);
    exact_sum(near, (of.0 - square - rest + of.1) / (2.0 * near))
}

/// The sum of two numbers, of which the first is larger, and what rounding took from it (Dekker 1971).
const fn exact_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    (sum, b - (sum - a))
}

/// The product of two numbers, and what rounding took from it (Dekker 1971, Veltkamp's splitting).
const fn exact_product(a: f64, b: f64) -> (f64, f64) {
    const SPLIT: f64 = 134_217_729.0; // 2^27 + 1
    let (t, u) = (a * SPLIT, b * SPLIT);
    let (a_high, b_high) = (t - (t - a), u - (u - b));
    let (a_low, b_low) = (a - a_high, b - b_high);
    let product = a * b;
    (product, a_high * b_high - product + a_high * b_low + a_low * b_high + a_low * b_low)
}

const fn product(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let (high, low) = exact_product(a.0, b.0);
    exact_sum(high, low + (a.0 * b.1 + a.1 * b.0))
}
