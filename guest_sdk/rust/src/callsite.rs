//! Places in the guest's program that log or start spans.

use core::sync::atomic::{AtomicI32, AtomicU8, Ordering::Relaxed};

use crate::abi;
use crate::attributes::Attributes;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::span::{Kind, Span};
use crate::value::{ToText, Value};
use crate::Severity;

/// An id given out by the host, asked for once.
pub(crate) struct Id(AtomicI32);

/// "Not asked yet". Should a host ever give it out, it is asked each time, which is right too.
const UNKNOWN: i32 = i32::MIN;

impl Id {
    pub(crate) const fn new() -> Self {
        Self(AtomicI32::new(UNKNOWN))
    }

    pub(crate) const fn known(id: i32) -> Self {
        Self(AtomicI32::new(id))
    }

    #[inline]
    pub(crate) fn get(&self, register: impl FnOnce() -> i32) -> i32 {
        let id = self.0.load(Relaxed);
        if id != UNKNOWN {
            return id;
        }
        let id = register();
        self.0.store(id, Relaxed);
        id
    }
}

pub(crate) const LOG: u8 = 1;
pub(crate) const SPAN: u8 = 2;

/// What a call site descriptor is made of, except for its fields' names.
pub(crate) struct Place<'a> {
    /// Kind, severity, field count and line, as they are encoded.
    head: u64,
    /// Name, target, file.
    texts: [&'a str; 3],
}

impl<'a> Place<'a> {
    pub(crate) const fn new(
        kind: u8,
        severity: u8,
        fields: usize,
        line: u32,
        texts: [&'a str; 3],
    ) -> Self {
        let fields = if fields < 0xFFFF {
            fields as u64
        } else {
            0xFFFF
        };
        let head = kind as u64 | ((severity as u64) << 8) | (fields << 16) | ((line as u64) << 32);
        Self { head, texts }
    }

    /// Appends the descriptor as far as the fields' names.
    pub(crate) fn encode(&self, buffer: &mut Buffer) {
        buffer.push_int(self.head, 8);
        buffer.push_texts(&self.texts);
    }
}

/// Registers a call site by its descriptor; 0 if the host does not take it.
pub(crate) fn register(descriptor: &Buffer) -> i32 {
    if descriptor.is_full() {
        return 0;
    }
    abi::callsite(descriptor.as_bytes())
}

/// One place that logs or starts spans; the macros make a `static` of it.
#[doc(hidden)]
pub struct CallSite {
    place: Place<'static>,
    fields: &'static [&'static str],
    id: Id,
    /// The host's answer to `enabled`, once it holds for good; 0 before.
    enabled: AtomicU8,
}

impl CallSite {
    #[must_use]
    pub const fn log(
        severity: Severity,
        name: &'static str,
        target: &'static str,
        file: &'static str,
        line: u32,
        fields: &'static [&'static str],
    ) -> Self {
        Self::new(LOG, severity.number(), name, target, file, line, fields)
    }

    #[must_use]
    pub const fn span(
        name: &'static str,
        target: &'static str,
        file: &'static str,
        line: u32,
        fields: &'static [&'static str],
    ) -> Self {
        Self::new(SPAN, 0, name, target, file, line, fields)
    }

    const fn new(
        kind: u8,
        severity: u8,
        name: &'static str,
        target: &'static str,
        file: &'static str,
        line: u32,
        fields: &'static [&'static str],
    ) -> Self {
        let place = Place::new(kind, severity, fields.len(), line, [name, target, file]);
        Self {
            place,
            fields,
            id: Id::new(),
            enabled: AtomicU8::new(0),
        }
    }

    fn id(&'static self) -> i32 {
        self.id.get(|| {
            let buffer = &mut Buffer::new();
            self.place.encode(buffer);
            buffer.push_texts(self.fields);
            register(buffer)
        })
    }

    /// Whether the host would keep a record from here.
    #[inline]
    #[must_use]
    pub fn is_enabled(&'static self) -> bool {
        let bits = match self.enabled.load(Relaxed) {
            0 => self.ask(),
            bits => bits,
        };
        bits & 1 != 0
    }

    #[inline(never)]
    fn ask(&'static self) -> u8 {
        let bits = abi::enabled(self.id()) as u8;
        if bits & 2 != 0 {
            self.enabled.store(bits, Relaxed);
        }
        bits
    }

    #[inline(never)]
    fn encode(&'static self, id: i32, values: &[Value<'_>], list: &mut Attributes) {
        for (index, (name, value)) in self.fields.iter().zip(values).enumerate() {
            list.put(id, index, name, value);
        }
        list.finish();
    }

    #[inline]
    pub fn emit<T: ToText + ?Sized>(
        &'static self,
        context: Context,
        body: &T,
        values: &[Value<'_>],
    ) {
        body.with_bytes(|body| self.emit_bytes(context, body, values));
    }

    #[inline(never)]
    fn emit_bytes(&'static self, context: Context, body: &[u8], values: &[Value<'_>]) {
        let id = self.id();
        let mut list = Attributes::new();
        self.encode(id, values, &mut list);
        let severity = (self.place.head >> 8) as u8;
        abi::log(id, severity, context.0, body, list.buffer.as_bytes());
    }

    #[inline(never)]
    pub fn start(&'static self, kind: Kind, context: Context, values: &[Value<'_>]) -> Span {
        let id = self.id();
        let mut list = Attributes::new();
        self.encode(id, values, &mut list);
        let name = if id == 0 { self.place.texts[0] } else { "" };
        let list = list.buffer.as_bytes();
        Span::started(abi::span_start(
            id,
            name.as_bytes(),
            context.0,
            kind as i32,
            list,
        ))
    }
}
