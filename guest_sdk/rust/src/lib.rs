#![cfg_attr(feature = "alloc", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "alloc"),
    doc = "OpenTelemetry for WebAssembly guests; see the README."
)]
#![no_std]
#![warn(clippy::undocumented_unsafe_blocks)]
// The README's program has a test of its own.
#![allow(clippy::test_attr_in_doctest)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "panic")]
extern crate std;

mod abi;
mod attributes;
mod buffer;
mod callsite;
mod context;
#[cfg(feature = "log")]
mod log;
mod macros;
mod metrics;
#[cfg(feature = "panic")]
mod panic;
#[cfg(any(feature = "tracing", feature = "log"))]
mod shared;
mod span;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(feature = "tracing")]
mod tracing;
mod value;
#[cfg(test)]
mod vectors;

#[doc(hidden)]
pub use callsite::CallSite;
#[cfg(feature = "alloc")]
pub use context::{baggage, inject};
pub use context::{
    baggage_into, remote_context, span_context, Context, Hex, RemoteContext, SpanContext,
};
pub use metrics::{AttributeSet, Counter, Gauge, Histogram, Number, UpDownCounter};
pub use span::{Entered, EnteredSpan, Kind, Span};
pub use value::{debug, display, Debug, Display, Lazy, ToText, ToValue, Value};

/// How severe a log record is: OpenTelemetry's
/// [severity number](https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber), 1 to 24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    /// 1
    pub const TRACE: Severity = Severity(1);
    /// 5
    pub const DEBUG: Severity = Severity(5);
    /// 9
    pub const INFO: Severity = Severity(9);
    /// 13
    pub const WARN: Severity = Severity(13);
    /// 17
    pub const ERROR: Severity = Severity(17);
    /// 21
    pub const FATAL: Severity = Severity(21);

    /// Any severity number; what is not within 1 to 24 becomes the nearest that is.
    #[must_use]
    pub const fn new(number: u8) -> Severity {
        match number {
            0 => Severity(1),
            1..=24 => Severity(number),
            _ => Severity(24),
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Installs what the crate's features ask for: the `tracing` subscriber, the `log` logger, the panic hook.
///
/// Call it first in each function that the guest exports, or once in the first: further calls do nothing. It
/// leaves alone what the program installed itself. The direct API needs no `init`. Off WebAssembly it does nothing.
pub fn init() {
    #[cfg(any(feature = "tracing", feature = "log", feature = "panic"))]
    {
        use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

        static DONE: AtomicBool = AtomicBool::new(false);
        if !abi::IS_GUEST || DONE.swap(true, Relaxed) {
            return;
        }
        #[cfg(feature = "panic")]
        panic::install();
        #[cfg(feature = "log")]
        log::install();
        #[cfg(feature = "tracing")]
        tracing::install();
    }
}

/// Asks the host to deliver soon what it has. It returns at once; hosts deliver by themselves, so few guests need it.
pub fn flush() {
    abi::flush();
}
