//! Attribute values and their encoding.

use core::fmt;

use crate::buffer::Buffer;

/// The value of an attribute, borrowed until it is encoded.
///
/// Most code never names it: the macros take whatever implements [`ToValue`].
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// No value.
    Empty,
    /// Text.
    Str(&'a str),
    /// True or false.
    Bool(bool),
    /// A whole number.
    I64(i64),
    /// A floating-point number.
    F64(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Values in order; made by [`Value::array`].
    Array(Array<'a>),
    /// Values by key; made by [`Value::map`].
    Map(Map<'a>),
    /// What is computed only when it is sent; made by [`ToValue`], [`display`] and [`debug`].
    Lazy(Lazy<'a>),
}

/// Values in order. Like [`Map`] it brings its own encoder, so that guests link only what they use.
#[derive(Clone, Copy)]
pub struct Array<'a>(&'a [Value<'a>], fn(&[Value<'_>], &mut Buffer));

/// Values by key, in order.
#[derive(Clone, Copy)]
pub struct Map<'a>(Entries<'a>, fn(Entries<'_>, &mut Buffer));

type Entries<'a> = &'a [(&'a str, Value<'a>)];

/// A value that is encoded by its own type's code.
#[derive(Clone, Copy)]
pub struct Lazy<'a>(&'a dyn Encode);

/// Appends one value, tag and content.
pub(crate) trait Encode {
    fn encode(&self, buffer: &mut Buffer);
}

/// The tag of a string.
pub(crate) const STRING_TAG: u8 = 1;

const EMPTY: u64 = 0;
const STRING: u64 = STRING_TAG as u64;
const BOOL: u64 = 2;
const I64: u64 = 3;
const F64: u64 = 4;
const BYTES: u64 = 5;
const ARRAY: u64 = 6;
const MAP: u64 = 7;

impl<'a> Value<'a> {
    /// Values in order.
    #[must_use]
    pub const fn array(values: &'a [Value<'a>]) -> Self {
        Value::Array(Array(values, |values, buffer| array(values, buffer)))
    }

    /// Values by key, in order.
    #[must_use]
    pub const fn map(entries: &'a [(&'a str, Value<'a>)]) -> Self {
        Value::Map(Map(entries, |entries, buffer| {
            count(MAP, entries.len(), buffer);
            for (key, value) in entries {
                buffer.push_text(key);
                value.encode(buffer);
            }
        }))
    }
}

impl Value<'_> {
    /// Whether every thread may read it: it is data only, all the way down.
    pub(crate) fn is_sync(&self) -> bool {
        if cfg!(all(target_arch = "wasm32", not(target_feature = "atomics"))) {
            return true; // there is one thread
        }
        match *self {
            Value::Array(Array(values, _)) => values.iter().all(Value::is_sync),
            Value::Map(Map(entries, _)) => entries.iter().all(|(_, value)| value.is_sync()),
            Value::Lazy(_) => false,
            _ => true,
        }
    }

    pub(crate) fn encode(&self, buffer: &mut Buffer) {
        match *self {
            Value::Empty => buffer.push_int(EMPTY, 1),
            Value::Bool(value) => buffer.push_int(BOOL | (u64::from(value) << 8), 2),
            Value::I64(value) => number(I64, value as u64, buffer),
            Value::F64(value) => number(F64, value.to_bits(), buffer),
            Value::Str(text) => sized(STRING, text.as_bytes(), buffer),
            Value::Bytes(bytes) => sized(BYTES, bytes, buffer),
            Value::Array(Array(values, encode)) => encode(values, buffer),
            Value::Map(Map(entries, encode)) => encode(entries, buffer),
            Value::Lazy(Lazy(value)) => value.encode(buffer),
        }
    }
}

/// A tag and 64 bits.
#[inline(never)]
fn number(tag: u64, bits: u64, buffer: &mut Buffer) {
    buffer.push_int(tag, 1);
    buffer.push_int(bits, 8);
}

/// A tag, a length and bytes.
#[inline(never)]
fn sized(tag: u64, bytes: &[u8], buffer: &mut Buffer) {
    count(tag, bytes.len(), buffer);
    buffer.push(bytes);
}

/// A tag and a u32.
#[inline]
fn count(tag: u64, count: usize, buffer: &mut Buffer) {
    buffer.push_int(tag | ((count as u64) << 8), 5);
}

/// Types that can be attribute values.
///
/// Whole numbers that do not fit an `i64` become their decimal text. `None` is [`Value::Empty`]. Slices, arrays and `Vec`
/// become arrays; for bytes say [`Value::Bytes`]. For anything else there are [`display`] and [`debug`].
pub trait ToValue {
    /// The value, borrowed from `self`.
    fn to_value(&self) -> Value<'_>;
}

impl<T: ToValue + ?Sized> ToValue for &T {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue + ?Sized> ToValue for &mut T {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl ToValue for Value<'_> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        *self
    }
}

impl ToValue for str {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::Str(self)
    }
}

#[cfg(feature = "alloc")]
impl ToValue for alloc::string::String {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::Str(self)
    }
}

#[cfg(feature = "alloc")]
impl<T: ToValue + ?Sized> ToValue for alloc::boxed::Box<T> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

#[cfg(feature = "alloc")]
impl<T: ToValue + alloc::borrow::ToOwned + ?Sized> ToValue for alloc::borrow::Cow<'_, T> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl ToValue for bool {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::Bool(*self)
    }
}

impl ToValue for f64 {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::F64(*self)
    }
}

impl ToValue for f32 {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::F64((*self).into())
    }
}

macro_rules! small_integers {
    ($($type:ty)*) => {$(
        impl ToValue for $type {
            #[inline]
            fn to_value(&self) -> Value<'_> {
                Value::I64((*self).into())
            }
        }
    )*};
}
small_integers!(i8 i16 i32 i64 u8 u16 u32);

macro_rules! large_integers {
    ($($type:ty)*) => {$(
        impl ToValue for $type {
            #[inline]
            fn to_value(&self) -> Value<'_> {
                match i64::try_from(*self) {
                    Ok(value) => Value::I64(value),
                    Err(_) => Value::Lazy(Lazy(self)),
                }
            }
        }

        impl Encode for $type {
            fn encode(&self, buffer: &mut Buffer) {
                #[allow(unused_comparisons)]
                integer(*self < 0, self.abs_diff(0) as u128, buffer);
            }
        }
    )*};
}
large_integers!(isize u64 usize i128 u128);

/// An integer that does not fit an `i64`, as its decimal text.
#[inline(never)]
fn integer(negative: bool, magnitude: u128, buffer: &mut Buffer) {
    let at = buffer.len();
    sized(STRING, if negative { b"-" } else { b"" }, buffer);
    let digits = [96, 64, 32, 0].map(|shift| (magnitude >> shift) as u32);
    decimals(digits, buffer);
    buffer.patch_size(at + 1);
}

/// Long division by ten of four digits of 32 bits: far less code than division of 128 bits, which core::fmt would bring.
fn decimals(mut digits: [u32; 4], buffer: &mut Buffer) {
    let mut remainder = 0u64;
    for digit in &mut digits {
        let part = (remainder << 32) | u64::from(*digit);
        *digit = (part / 10) as u32;
        remainder = part % 10;
    }
    if digits != [0; 4] {
        decimals(digits, buffer);
    }
    buffer.push_int(u64::from(b'0') + remainder, 1);
}

impl<T: ToValue> ToValue for Option<T> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        match self {
            Some(value) => value.to_value(),
            None => Value::Empty,
        }
    }
}

fn array<T: ToValue>(values: &[T], buffer: &mut Buffer) {
    count(ARRAY, values.len(), buffer);
    for value in values {
        value.to_value().encode(buffer);
    }
}

macro_rules! arrays {
    ($([$($parameter:tt)*] $type:ty;)*) => {$(
        impl<T: ToValue, $($parameter)*> ToValue for $type {
            #[inline]
            fn to_value(&self) -> Value<'_> {
                Value::Lazy(Lazy(self))
            }
        }

        impl<T: ToValue, $($parameter)*> Encode for $type {
            fn encode(&self, buffer: &mut Buffer) {
                array(self, buffer);
            }
        }
    )*};
}
arrays!([const N: usize] [T; N]; [] &[T];);
#[cfg(feature = "alloc")]
arrays!([] alloc::vec::Vec<T>;);

impl ToValue for char {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::Lazy(Lazy(self))
    }
}

impl Encode for char {
    fn encode(&self, buffer: &mut Buffer) {
        sized(STRING, self.encode_utf8(&mut [0; 4]).as_bytes(), buffer);
    }
}

/// `key = format_args!("{a} of {b}")`
impl ToValue for fmt::Arguments<'_> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::Lazy(Lazy(self))
    }
}

impl Encode for fmt::Arguments<'_> {
    fn encode(&self, buffer: &mut Buffer) {
        formatted(*self, buffer);
    }
}

/// Appends a string value whose text is formatted straight into the buffer.
pub(crate) fn formatted(text: fmt::Arguments<'_>, buffer: &mut Buffer) {
    let at = buffer.len();
    sized(STRING, &[], buffer);
    // A failing impl leaves the text it wrote before; a full buffer is seen by the caller.
    let _ = fmt::Write::write_fmt(buffer, text);
    buffer.patch_size(at + 1);
}

/// A value shown by [`fmt::Display`]; made by [`display`].
#[derive(Clone, Copy)]
pub struct Display<T>(T);

/// A value shown by [`fmt::Debug`]; made by [`debug`].
#[derive(Clone, Copy)]
pub struct Debug<T>(T);

/// Makes an attribute value of what `value` displays as: `error = display(&error)`. It is formatted when it is sent.
#[inline]
pub const fn display<T: fmt::Display>(value: T) -> Display<T> {
    Display(value)
}

/// Makes an attribute value of `value`'s debug form: `request = debug(&request)`. It is formatted when it is sent.
#[inline]
pub const fn debug<T: fmt::Debug>(value: T) -> Debug<T> {
    Debug(value)
}

impl<T: fmt::Display> ToValue for Display<T> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::Lazy(Lazy(self))
    }
}

impl<T: fmt::Display> Encode for Display<T> {
    fn encode(&self, buffer: &mut Buffer) {
        formatted(format_args!("{}", self.0), buffer);
    }
}

impl<T: fmt::Debug> ToValue for Debug<T> {
    #[inline]
    fn to_value(&self) -> Value<'_> {
        Value::Lazy(Lazy(self))
    }
}

impl<T: fmt::Debug> Encode for Debug<T> {
    fn encode(&self, buffer: &mut Buffer) {
        formatted(format_args!("{:?}", self.0), buffer);
    }
}

/// Texts that a log record can have as its body: `&str`, `String`, `format_args!(…)`.
pub trait ToText {
    #[doc(hidden)]
    fn with_bytes<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R;
}

impl ToText for str {
    #[inline]
    fn with_bytes<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R {
        then(self.as_bytes())
    }
}

#[cfg(feature = "alloc")]
impl ToText for alloc::string::String {
    #[inline]
    fn with_bytes<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R {
        then(self.as_bytes())
    }
}

impl ToText for fmt::Arguments<'_> {
    fn with_bytes<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R {
        if let Some(text) = self.as_str() {
            return then(text.as_bytes());
        }
        let mut buffer = Buffer::new();
        let _ = fmt::Write::write_fmt(&mut buffer, *self);
        then(buffer.as_bytes())
    }
}

impl<T: ToText + ?Sized> ToText for &T {
    #[inline]
    fn with_bytes<R>(&self, then: impl FnOnce(&[u8]) -> R) -> R {
        (**self).with_bytes(then)
    }
}
