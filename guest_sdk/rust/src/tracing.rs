//! The subscriber for `tracing`: spans become spans, events become log records.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::Range;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes as NewSpan, Current, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{dispatcher, Dispatch, Event, Level, Metadata, Subscriber};

use crate::abi;
use crate::attributes::Attributes;
use crate::buffer::Buffer;
use crate::callsite::{self, Place};
use crate::shared::{Lock, Site, Sites};
use crate::spans::Spans;
use crate::value::{debug, ToValue, Value, STRING_TAG};
use crate::Severity;

pub(crate) fn install() {
    // An error means that the program has a subscriber of its own.
    let _ = dispatcher::set_global_default(Dispatch::new(Host));
}

struct Host;

static SITES: Sites = Sites::new();

/// What is remembered of an open span.
struct Open {
    references: usize,
    metadata: &'static Metadata<'static>,
}

struct State {
    spans: Spans<Open>,
    /// The handles of the entered spans, for `Span::current()`.
    stack: [i64; 256],
    /// How many are entered; those beyond the stack are not remembered.
    depth: usize,
}

static STATE: Lock<State> = Lock::new(State {
    spans: Spans::new(),
    stack: [0; 256],
    depth: 0,
});

/// The id of every span that the host does not keep. Handles are positive i64, so no handle has it.
const LOST: u64 = u64::MAX;

fn severity(level: &Level) -> Severity {
    if *level == Level::ERROR {
        Severity::ERROR
    } else if *level == Level::WARN {
        Severity::WARN
    } else if *level == Level::INFO {
        Severity::INFO
    } else if *level == Level::DEBUG {
        Severity::DEBUG
    } else {
        Severity::TRACE
    }
}

fn site(metadata: &Metadata<'_>) -> Site {
    // Call sites are statics, so the address stands for one.
    let key = core::ptr::from_ref(metadata) as usize as u64;
    SITES.get(key, |buffer| describe(metadata, buffer))
}

/// Writes the descriptor of a call site; true if it is special.
fn describe(metadata: &Metadata<'_>, buffer: &mut Buffer) -> bool {
    let (kind, severity, name) = if metadata.is_span() {
        (callsite::SPAN, 0, metadata.name())
    } else {
        // `tracing` names an event after its place unless the program names it.
        let name = metadata.name();
        let name = if name.starts_with("event ") { "" } else { name };
        (callsite::LOG, severity(metadata.level()).number(), name)
    };
    let fields = metadata.fields();
    let texts = [name, metadata.target(), metadata.file().unwrap_or_default()];
    let line = metadata.line().unwrap_or_default();
    Place::new(kind, severity, fields.len(), line, texts).encode(buffer);
    let mut is_special = false;
    for field in fields {
        buffer.push_text(field.name());
        is_special |= field.name().starts_with("otel.") || is_error(&field, metadata);
    }
    is_special
}

/// Whether a field says why the span of its event failed, as that of `#[instrument(err)]` does.
fn is_error(field: &Field, metadata: &Metadata<'_>) -> bool {
    field.name() == "error" && *metadata.level() == Level::ERROR && metadata.is_event()
}

/// The handle of a span, 0 of one that the host does not keep.
fn handle(id: &Id) -> i64 {
    match id.into_u64() {
        LOST => 0,
        handle => handle as i64,
    }
}

/// The ABI's context of what says itself a root, has a parent, or neither.
fn context(is_root: bool, parent: Option<&Id>) -> i64 {
    match parent {
        _ if is_root => -1,
        Some(parent) => handle(parent),
        None => 0,
    }
}

impl Subscriber for Host {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match site(metadata).known() {
            Some(true) => Interest::always(),
            Some(false) => Interest::never(),
            None => Interest::sometimes(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        site(metadata).is_enabled()
    }

    fn new_span(&self, span: &NewSpan<'_>) -> Id {
        let metadata = span.metadata();
        let site = site(metadata);
        let mut visitor = Visitor::new(site, metadata);
        span.record(&mut visitor);
        visitor.list.finish();
        let mut name = visitor.text_of(&visitor.name);
        if name.is_empty() && site.id == 0 {
            name = metadata.name().as_bytes();
        }
        let context = context(span.is_root(), span.parent());
        let list = visitor.list.buffer.as_bytes();
        let handle = abi::span_start(site.id, name, context, visitor.kind, list);
        if handle <= 0 {
            return id(LOST);
        }
        visitor.send_status(handle);
        let open = Open {
            references: 1,
            metadata,
        };
        STATE.with(|state| state.spans.insert(handle, open));
        id(handle as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let handle = handle(span);
        let metadata = STATE.with(|state| Some(state.spans.get(handle)?.metadata));
        let Some(metadata) = metadata else {
            return;
        };
        let mut visitor = Visitor::new(site(metadata), metadata);
        values.record(&mut visitor);
        visitor.list.finish();
        let list = visitor.list.buffer.as_bytes();
        if !list.is_empty() {
            abi::span_attributes(handle, list);
        }
        let name = visitor.text_of(&visitor.name);
        if !name.is_empty() {
            abi::span_rename(handle, name);
        }
        visitor.send_status(handle);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        let (span, follows) = (handle(span), handle(follows));
        if span != 0 && follows != 0 {
            abi::span_link(span, follows, b"");
        }
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let site = site(metadata);
        let mut visitor = Visitor::new(site, metadata);
        event.record(&mut visitor);
        visitor.list.finish();
        let context = context(event.is_root(), event.parent());
        let severity = match site.id {
            0 => severity(metadata.level()).number(),
            _ => 0, // that of the call site
        };
        let list = visitor.list.buffer.as_bytes();
        abi::log(site.id, severity, context, visitor.text.as_bytes(), list);
        if visitor.status == abi::STATUS_ERROR {
            // The host's own span of the call is not ours to fail.
            let in_span = context > 0 || STATE.with(|state| state.depth > 0);
            if context >= 0 && in_span {
                let why = list.get(visitor.description).unwrap_or_default();
                abi::span_status(context, abi::STATUS_ERROR, why);
            }
        }
    }

    fn enter(&self, span: &Id) {
        let handle = handle(span);
        if handle != 0 {
            STATE.with(|state| state.enter(handle));
            abi::span_enter(handle);
        }
    }

    fn exit(&self, span: &Id) {
        let handle = handle(span);
        if handle != 0 {
            STATE.with(|state| state.exit(handle));
            abi::span_exit(handle);
        }
    }

    fn clone_span(&self, span: &Id) -> Id {
        STATE.with(|state| {
            if let Some(open) = state.spans.get(handle(span)) {
                open.references += 1;
            }
        });
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        let handle = handle(&span);
        let is_last = STATE.with(|state| {
            let Some(open) = state.spans.get(handle) else {
                return false;
            };
            open.references -= 1;
            if open.references > 0 {
                return false;
            }
            state.spans.remove(handle);
            true
        });
        if is_last {
            abi::span_end(handle);
        }
        is_last
    }

    fn current_span(&self) -> Current {
        STATE.with(|state| {
            let Some(&handle) = state.stack.get(state.depth.wrapping_sub(1)) else {
                return Current::none();
            };
            match state.spans.get(handle) {
                Some(open) => Current::new(id(handle as u64), open.metadata),
                None => Current::none(),
            }
        })
    }
}

/// An id of a number that is not 0.
fn id(number: u64) -> Id {
    Id::from_non_zero_u64(NonZeroU64::new(number).unwrap_or(NonZeroU64::MAX))
}

impl State {
    fn enter(&mut self, handle: i64) {
        if let Some(top) = self.stack.get_mut(self.depth) {
            *top = handle;
        }
        self.depth += 1;
    }

    /// Takes away the innermost entry of a span.
    fn exit(&mut self, handle: i64) {
        let Some(entered) = self.stack.get_mut(..self.depth) else {
            self.depth -= 1; // one of those that are not remembered, as far as is known
            return;
        };
        let Some(at) = entered.iter().rposition(|entry| *entry == handle) else {
            return;
        };
        let mut above = 0;
        for entry in entered[at..].iter_mut().rev() {
            core::mem::swap(entry, &mut above);
        }
        self.depth -= 1;
    }
}

/// Encodes the fields of a span or an event.
struct Visitor {
    site: Site,
    is_event: bool,
    is_error: bool,
    list: Attributes,
    /// Of an event the body; of a span the texts of its special fields.
    text: Buffer,
    kind: i32,
    /// Where in `text` the span's name is.
    name: Range<usize>,
    status: i32,
    /// Where the status's description is: of a span in `text`, of an event in `list`.
    description: Range<usize>,
}

impl Visitor {
    fn new(site: Site, metadata: &Metadata<'_>) -> Self {
        Self {
            site,
            is_event: metadata.is_event(),
            is_error: *metadata.level() == Level::ERROR,
            list: Attributes::new(),
            text: Buffer::new(),
            kind: 0,
            name: 0..0,
            status: 0,
            description: 0..0,
        }
    }

    fn text_of(&self, range: &Range<usize>) -> &[u8] {
        self.text.as_bytes().get(range.clone()).unwrap_or_default()
    }

    fn send_status(&self, handle: i64) {
        if self.status != 0 {
            let description = self.text_of(&self.description);
            abi::span_status(handle, self.status, description);
        }
    }

    fn is_body(&self, field: &Field) -> bool {
        self.is_event && field.name() == "message"
    }

    #[inline(never)]
    fn put(&mut self, field: &Field, value: Value<'_>) {
        let name = field.name();
        let mark = self.list.key(self.site.id, field.index(), name);
        let at = self.list.buffer.len();
        value.encode(&mut self.list.buffer);
        if self.site.is_special {
            self.interpret(name, mark, at);
        }
        self.list.close(mark);
    }

    /// Takes what `tracing-opentelemetry` takes for more than an attribute: the fields `otel.*` of spans, and `error` of
    /// an event of that level. The attribute began at `mark`, its value at `at`.
    fn interpret(&mut self, name: &str, mark: usize, at: usize) {
        let end = self.list.buffer.len();
        let bytes = self.list.buffer.as_bytes();
        let (Some(&STRING_TAG), Some(text)) = (bytes.get(at), bytes.get(at + 5..end)) else {
            return;
        };
        if self.is_event {
            if self.is_error && name == "error" {
                self.status = abi::STATUS_ERROR;
                self.description = at + 5..end;
            }
            return;
        }
        let is = |word: &str| text.eq_ignore_ascii_case(word.as_bytes());
        match name {
            "otel.kind" => {
                let kinds = ["internal", "server", "client", "producer", "consumer"];
                let Some(index) = kinds.iter().position(|kind| is(kind)) else {
                    return;
                };
                self.kind = index as i32 + 1;
            }
            "otel.status_code" if is("ok") => self.status = abi::STATUS_OK,
            "otel.status_code" if is("error") => self.status = abi::STATUS_ERROR,
            "otel.name" | "otel.status_description" | "otel.status_message" => {
                let start = self.text.len();
                self.text.push(text);
                let range = start..self.text.len();
                if name == "otel.name" {
                    self.name = range;
                } else {
                    self.description = range;
                    self.status = abi::STATUS_ERROR;
                }
            }
            _ => return,
        }
        self.list.buffer.truncate(mark);
    }
}

impl Visit for Visitor {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::I64(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::F64(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.put(field, Value::Bytes(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.to_value());
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, value.to_value());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, value.to_value());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.is_body(field) {
            self.text.push(value.as_bytes());
        } else {
            self.put(field, Value::Str(value));
        }
    }

    // Errors come here too, shown as they display: `record_error` is there only with the standard library.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.is_body(field) {
            let _ = fmt::write(&mut self.text, format_args!("{value:?}"));
        } else {
            self.put(field, debug(value).to_value());
        }
    }
}
