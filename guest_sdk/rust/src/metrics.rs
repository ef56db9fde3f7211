//! Instruments and the attribute sets of their measurements.

use core::marker::PhantomData;

use crate::abi;
use crate::attributes::Attributes;
use crate::buffer::Buffer;
use crate::callsite::Id;
use crate::value::Value;

mod sealed {
    pub trait Sealed: Copy {
        const CODE: i32;
        fn measure(self, instrument: i32, attribute_set: i32);
    }
}

use sealed::Sealed;

/// The types of measurements: `i64` and `f64`.
pub trait Number: Sealed {}

impl Sealed for i64 {
    const CODE: i32 = 0;

    #[inline]
    fn measure(self, instrument: i32, attribute_set: i32) {
        abi::measure_i64(instrument, self, attribute_set);
    }
}

impl Number for i64 {}

impl Sealed for f64 {
    const CODE: i32 = 1;

    #[inline]
    fn measure(self, instrument: i32, attribute_set: i32) {
        abi::measure_f64(instrument, self, attribute_set);
    }
}

impl Number for f64 {}

/// The attributes of measurements, registered once with the host; then a measurement is three numbers.
///
/// ```
/// use wasmscope::{AttributeSet, Counter, Value};
///
/// static REQUESTS: Counter = Counter::new("requests");
/// static CHECKOUT: AttributeSet = AttributeSet::new(&[("http.route", Value::Str("/checkout"))]);
///
/// REQUESTS.add_with(1, &CHECKOUT);
/// ```
pub struct AttributeSet {
    attributes: &'static [(&'static str, Value<'static>)],
    id: Id,
}

// SAFETY: what keeps `Value` from being Sync is `Lazy`, which may refer to a value that is not; `register_static` follows
// it only where there is one thread.
unsafe impl Sync for AttributeSet {}

impl AttributeSet {
    /// A set for a `static`, registered when it is first used. ([`Value::Lazy`] is for [`AttributeSet::register`];
    /// here it may be left out.)
    #[must_use]
    pub const fn new(attributes: &'static [(&'static str, Value<'static>)]) -> Self {
        Self {
            attributes,
            id: Id::new(),
        }
    }

    /// Registers a set whose values are only known now. Keep it: registering again costs as much as the first time.
    #[must_use]
    pub fn register(attributes: &[(&str, Value<'_>)]) -> Self {
        let id = Id::known(Attributes::with(attributes, abi::attribute_set));
        Self {
            attributes: &[],
            id,
        }
    }

    #[inline]
    fn id(&self) -> i32 {
        self.id.get(|| self.register_static())
    }

    #[inline(never)]
    fn register_static(&self) -> i32 {
        let mut list = Attributes::new();
        for (key, value) in self.attributes {
            if value.is_sync() {
                list.put(0, 0, key, value);
            }
        }
        list.finish();
        abi::attribute_set(list.buffer.as_bytes())
    }
}

impl core::fmt::Debug for AttributeSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("AttributeSet")
    }
}

/// What the kinds of instruments share.
struct Instrument {
    kind: u8,
    /// Name, unit, description.
    texts: [&'static str; 3],
    boundaries: &'static [f64],
    id: Id,
}

impl Instrument {
    const fn new(kind: u8, name: &'static str) -> Self {
        Self {
            kind,
            texts: [name, "", ""],
            boundaries: &[],
            id: Id::new(),
        }
    }

    #[inline]
    fn measure<N: Number>(&self, value: N, attributes: i32) {
        let id = self.id.get(|| self.register(N::CODE));
        value.measure(id, attributes);
    }

    #[inline(never)]
    fn register(&self, number: i32) -> i32 {
        let buffer = &mut Buffer::new();
        self.encode(buffer);
        if buffer.is_full() {
            return 0;
        }
        abi::instrument(self.kind.into(), number, buffer.as_bytes())
    }

    fn encode(&self, buffer: &mut Buffer) {
        buffer.push_texts(&self.texts);
        buffer.push_int(self.boundaries.len() as u64, 2);
        for boundary in self.boundaries {
            buffer.push_int(boundary.to_bits(), 8);
        }
    }
}

macro_rules! instruments {
    ($(
        $(#[$documentation:meta])*
        $type:ident, $default:ty, $kind:literal, $(#[$verb_documentation:meta])* $verb:ident, $verb_with:ident;
    )*) => {$(
        $(#[$documentation])*
        pub struct $type<N: Number = $default> {
            instrument: Instrument,
            number: PhantomData<fn(N)>,
        }

        impl<N: Number> $type<N> {
            /// An instrument of this name, for a `static`; it is registered when it is first used.
            #[must_use]
            pub const fn new(name: &'static str) -> Self {
                Self {
                    instrument: Instrument::new($kind, name),
                    number: PhantomData,
                }
            }

            /// The unit of its values by [UCUM](https://ucum.org): `ms`, `By`, `{request}`.
            #[must_use]
            pub const fn unit(mut self, unit: &'static str) -> Self {
                self.instrument.texts[1] = unit;
                self
            }

            /// What it measures, for people.
            #[must_use]
            pub const fn description(mut self, description: &'static str) -> Self {
                self.instrument.texts[2] = description;
                self
            }

            $(#[$verb_documentation])*
            #[inline]
            pub fn $verb(&self, value: N) {
                self.instrument.measure(value, 0);
            }

            /// The same with attributes.
            #[inline]
            pub fn $verb_with(&self, value: N, attributes: &AttributeSet) {
                self.instrument.measure(value, attributes.id());
            }
        }

        impl<N: Number> core::fmt::Debug for $type<N> {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.instrument.texts[0])
            }
        }
    )*};
}

instruments! {
    /// A sum that only grows.
    ///
    /// ```
    /// use wasmscope::Counter;
    ///
    /// static ORDERS: Counter = Counter::new("orders").unit("{order}").description("Orders served");
    /// static WEIGHT: Counter<f64> = Counter::new("weight").unit("kg");
    ///
    /// ORDERS.add(1);
    /// WEIGHT.add(2.5);
    /// ```
    Counter, i64, 1,
    /// Adds to the sum. The host drops and counts negative values.
    add, add_with;

    /// A sum that grows and shrinks, such as the length of a queue.
    UpDownCounter, i64, 2,
    /// Adds to the sum; negative values take away.
    add, add_with;

    /// A distribution of values, such as durations.
    ///
    /// ```
    /// use wasmscope::Histogram;
    ///
    /// static LATENCY: Histogram = Histogram::new("latency").unit("ms").boundaries(&[1.0, 10.0, 100.0]);
    ///
    /// LATENCY.record(7.5);
    /// ```
    Histogram, f64, 3,
    /// Records a value. The host drops and counts negative values.
    record, record_with;

    /// A value that is what it was last set to, such as a temperature.
    Gauge, f64, 4,
    /// Sets the value.
    set, set_with;
}

#[cfg(test)]
impl<N: Number> Histogram<N> {
    pub(crate) fn describe(&self, buffer: &mut Buffer) {
        self.instrument.encode(buffer);
    }
}

impl<N: Number> Histogram<N> {
    /// Where the buckets end, as advice to the host: finite and strictly increasing. Without it the host decides.
    #[must_use]
    pub const fn boundaries(mut self, boundaries: &'static [f64]) -> Self {
        self.instrument.boundaries = boundaries;
        self
    }
}
