//! Attribute lists.

use crate::buffer::Buffer;
use crate::value::Value;

/// How many attributes found no room in the guest, by OpenTelemetry's name for that
/// (<https://opentelemetry.io/docs/specs/otel/common/mapping-to-non-otlp/>).
const LEFT_OUT: &str = "otel.dropped_attributes_count";

/// A list being encoded. An attribute that finds no room (no memory; without the feature `alloc`, more than
/// the buffer on the stack) is left out and counted.
pub(crate) struct Attributes {
    pub(crate) buffer: Buffer,
    left_out: u32,
}

impl Attributes {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            buffer: Buffer::new(),
            left_out: 0,
        }
    }

    /// Encodes a list of attributes with their keys.
    #[inline(never)]
    pub(crate) fn encode(&mut self, attributes: &[(&str, Value<'_>)]) {
        for (key, value) in attributes {
            self.put(0, 0, key, value);
        }
        self.finish();
    }

    /// Encodes a list of attributes with their keys and passes it on.
    #[inline]
    pub(crate) fn with<R>(attributes: &[(&str, Value<'_>)], then: impl FnOnce(&[u8]) -> R) -> R {
        let mut list = Self::new();
        list.encode(attributes);
        then(list.buffer.as_bytes())
    }

    /// Appends an attribute; see `key`.
    #[inline(never)]
    pub(crate) fn put(&mut self, callsite: i32, index: usize, name: &str, value: &Value<'_>) {
        let mark = self.key(callsite, index, name);
        value.encode(&mut self.buffer);
        self.close(mark);
    }

    /// Begins an attribute by its key: a reference to field `index` of the call site, else (`callsite` is 0) the name.
    /// What its value needs is then appended to `buffer`, then `close` with the result.
    #[inline]
    pub(crate) fn key(&mut self, callsite: i32, index: usize, name: &str) -> usize {
        let mark = self.buffer.len();
        if callsite != 0 && index < 0x8000 {
            self.buffer.push_int(0x8000 | index as u64, 2);
        } else if name.len() < 0x8000 {
            self.buffer.push_text(name);
        } else {
            self.buffer.refuse(); // such a length means a field; and the host takes far shorter keys only
        }
        mark
    }

    /// Ends the attribute that began at `mark`.
    #[inline]
    pub(crate) fn close(&mut self, mark: usize) {
        if self.buffer.is_full() {
            self.buffer.truncate(mark);
            self.left_out += 1;
        }
    }

    /// Completes the list, which is then in `buffer`.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if self.left_out > 0 {
            self.note();
        }
    }

    #[cold]
    #[inline(never)]
    fn note(&mut self) {
        self.put(0, 0, LEFT_OUT, &Value::I64(self.left_out.into()));
    }
}
