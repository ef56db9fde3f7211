//! Trace context: what spans and records belong to, and how it comes in and goes out.

use crate::abi;
use crate::span::Span;

/// What a span or a log record belongs to: the current span, none, or a given one.
///
/// Made from [`Span`] and [`RemoteContext`], and where a function takes `impl Into<Context>`, they are passed as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context(pub(crate) i64);

impl Context {
    /// The innermost entered span, else the host's span of this call into the guest.
    pub const CURRENT: Context = Context(0);

    /// None: a span becomes the root of a new trace, a log record belongs to no trace.
    pub const NONE: Context = Context(-1);

    /// The ids of this context's span; `None` if there is no valid span.
    #[must_use]
    pub fn span_context(self) -> Option<SpanContext> {
        let mut bytes = [0; 32];
        if !abi::span_context(self.0, &mut bytes) {
            return None;
        }
        let (mut trace_id, mut span_id) = ([0; 16], [0; 8]);
        trace_id.copy_from_slice(&bytes[..16]);
        span_id.copy_from_slice(&bytes[16..24]);
        Some(SpanContext {
            trace_id,
            span_id,
            flags: bytes[24],
            is_remote: bytes[25] != 0,
        })
    }

    /// What the header `field` of an outgoing request should say to carry this context on; see [`inject`].
    #[cfg(feature = "alloc")]
    #[must_use]
    pub fn inject(self, field: &str) -> Option<alloc::string::String> {
        // 0 is "there is none"; no header has an empty value.
        read(|out| match abi::inject(self.0, field, out) {
            0 => -1,
            length => length,
        })
    }

    /// As `inject`, into `out`. `Err` is the length that it would need.
    pub fn inject_into<'o>(self, field: &str, out: &'o mut [u8]) -> Result<Option<&'o str>, usize> {
        let length = abi::inject(self.0, field, out);
        text(if length == 0 { -1 } else { length }, out)
    }
}

impl From<&Span> for Context {
    fn from(span: &Span) -> Self {
        span.context()
    }
}

impl From<&RemoteContext> for Context {
    fn from(remote: &RemoteContext) -> Self {
        Context(remote.0)
    }
}

/// None is the current span.
impl From<&Option<RemoteContext>> for Context {
    fn from(remote: &Option<RemoteContext>) -> Self {
        remote.as_ref().map_or(Context::CURRENT, Context::from)
    }
}

impl From<&Context> for Context {
    fn from(context: &Context) -> Self {
        *context
    }
}

/// The ids of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanContext {
    /// The trace's id, in the order in which W3C prints it.
    pub trace_id: [u8; 16],
    /// The span's id, likewise.
    pub span_id: [u8; 8],
    /// W3C's trace flags; bit 0 is "sampled".
    pub flags: u8,
    /// Whether the span is another process's.
    pub is_remote: bool,
}

impl SpanContext {
    /// The trace's id as 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id_hex(&self) -> Hex<32> {
        Hex::of(&self.trace_id)
    }

    /// The span's id as 16 hexadecimal digits.
    #[must_use]
    pub fn span_id_hex(&self) -> Hex<16> {
        Hex::of(&self.span_id)
    }
}

/// Bytes as lower-case hexadecimal digits; a `&str` by [`Hex::as_str`] or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<const N: usize>([u8; N]);

impl<const N: usize> Hex<N> {
    fn of(bytes: &[u8]) -> Self {
        let mut digits = [b'0'; N];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if nibble < 10 {
                    b'0' + nibble
                } else {
                    b'a' - 10 + nibble
                };
            }
        }
        Self(digits)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // SAFETY: `of`, the only maker, writes ASCII digits only.
        unsafe { core::str::from_utf8_unchecked(&self.0) }
    }
}

impl<const N: usize> core::ops::Deref for Hex<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> core::fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> crate::ToValue for Hex<N> {
    fn to_value(&self) -> crate::Value<'_> {
        crate::Value::Str(self.as_str())
    }
}

/// A span of another process, known by the headers of its request: a parent or a link target. The host forgets it
/// when this is dropped; spans started from it stay as they are.
#[derive(Debug)]
pub struct RemoteContext(i64);

impl Drop for RemoteContext {
    fn drop(&mut self) {
        abi::span_end(self.0);
    }
}

/// Reads the W3C headers `traceparent` and `tracestate` (may be empty) of an incoming request; `None` if
/// `traceparent` is not valid.
#[must_use]
pub fn remote_context(traceparent: &str, tracestate: &str) -> Option<RemoteContext> {
    match abi::remote_context(traceparent, tracestate) {
        0 => None,
        handle => Some(RemoteContext(handle)),
    }
}

/// The ids of the current span; `None` if there is none.
#[must_use]
pub fn span_context() -> Option<SpanContext> {
    Context::CURRENT.span_context()
}

/// What the header `field` (`traceparent`, `tracestate`, `baggage`, or what else the host's propagators know) of an outgoing
/// request should say to carry the current trace on; `None` if nothing.
#[cfg(feature = "alloc")]
#[must_use]
pub fn inject(field: &str) -> Option<alloc::string::String> {
    Context::CURRENT.inject(field)
}

/// The value of an entry of the current context's baggage; `None` if there is none.
#[cfg(feature = "alloc")]
#[must_use]
pub fn baggage(key: &str) -> Option<alloc::string::String> {
    read(|out| abi::baggage_get(key, out))
}

/// As `baggage`, into `out`. `Err` is the length that it would need.
pub fn baggage_into<'o>(key: &str, out: &'o mut [u8]) -> Result<Option<&'o str>, usize> {
    text(abi::baggage_get(key, out), out)
}

/// The text that a call wrote into `out`; a negative length is "there is none".
fn text(length: i32, out: &[u8]) -> Result<Option<&str>, usize> {
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let bytes = out.get(..length).ok_or(length)?;
    Ok(core::str::from_utf8(bytes).ok())
}

/// Calls once more with a larger buffer where the text is longer than the one on the stack.
#[cfg(feature = "alloc")]
fn read(call: impl Fn(&mut [u8]) -> i32) -> Option<alloc::string::String> {
    let mut small = [0; 256];
    let needed = match text(call(&mut small), &small) {
        Ok(text) => return text.map(Into::into),
        Err(needed) => needed,
    };
    let mut large = alloc::vec::Vec::new();
    large.try_reserve_exact(needed).ok()?;
    large.resize(needed, 0);
    let length = usize::try_from(call(&mut large)).ok()?;
    large.truncate(length);
    alloc::string::String::from_utf8(large).ok()
}
