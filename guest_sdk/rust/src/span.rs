//! Spans.

use crate::abi;
use crate::attributes::Attributes;
use crate::context::Context;
use crate::value::Value;

/// What a span's work is to the outside (OpenTelemetry's span kind).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Work inside the guest.
    #[default]
    Internal = 1,
    /// Serving a request.
    Server = 2,
    /// Waiting for somebody who serves.
    Client = 3,
    /// Sending a message that is handled later.
    Producer = 4,
    /// Handling such a message.
    Consumer = 5,
}

/// Work with a beginning and an end. Made by [`span!`](crate::span!), ended by [`Span::end`] or when dropped.
///
/// Starting a span does not make it current: [`Span::enter`] or [`Span::entered`] does.
/// Where the host keeps no span (its level is off, or a limit is reached), the methods do nothing.
#[must_use = "a span ends when it is dropped"]
#[derive(Debug)]
pub struct Span(
    /// The host's handle, which is positive. 0: not kept. -1: the current span.
    i64,
);

impl Span {
    /// Starts a child of the current span whose name is only known now. Where it is known before, [`span!`](crate::span!) costs less.
    pub fn start(name: &str) -> Span {
        Self::start_with(name, Kind::Internal, Context::CURRENT, &[])
    }

    /// As [`Span::start`], with all that can be given.
    pub fn start_with(
        name: &str,
        kind: Kind,
        parent: impl Into<Context>,
        attributes: &[(&str, Value<'_>)],
    ) -> Span {
        let parent = parent.into().0;
        Attributes::with(attributes, |list| {
            Self::started(abi::span_start(
                0,
                name.as_bytes(),
                parent,
                kind as i32,
                list,
            ))
        })
    }

    pub(crate) fn started(handle: i64) -> Span {
        Span(handle)
    }

    /// The current span: the innermost entered one, else the host's span of this call. Dropping this does not end it.
    ///
    /// It always means the span that is current when a method is called.
    pub const fn current() -> Span {
        Span(-1)
    }

    /// A span that is not kept: its methods do nothing.
    pub const fn disabled() -> Span {
        Span(0)
    }

    /// Whether this span is kept.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0 != 0
    }

    /// The handle to change it by, where it is kept.
    fn handle(&self) -> Option<i64> {
        (self.0 != 0).then_some(self.0.max(0))
    }

    /// This span as a parent or link target; of a span that is not kept, the current span.
    #[must_use]
    pub fn context(&self) -> Context {
        Context(self.0.max(0))
    }

    /// Makes the span current until the guard is dropped.
    #[must_use = "the span is current until this is dropped"]
    pub fn enter(&self) -> Entered<'_> {
        if self.0 > 0 {
            abi::span_enter(self.0);
        }
        Entered { span: self }
    }

    /// Makes the span current until the guard is dropped, which also ends the span.
    #[must_use = "the span ends when this is dropped"]
    pub fn entered(self) -> EnteredSpan {
        if self.0 > 0 {
            abi::span_enter(self.0);
        }
        EnteredSpan { span: self }
    }

    /// Runs `work` with this span as the current one.
    pub fn in_scope<R>(&self, work: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        work()
    }

    /// Sets an attribute; the same key takes a new value.
    pub fn set_attribute(&self, key: &str, value: impl crate::ToValue) {
        self.set_attributes(&[(key, value.to_value())]);
    }

    /// Sets attributes; see [`attributes!`](crate::attributes!).
    pub fn set_attributes(&self, attributes: &[(&str, Value<'_>)]) {
        if let Some(span) = self.handle() {
            Attributes::with(attributes, |list| abi::span_attributes(span, list));
        }
    }

    /// Adds an event: something that happened at this moment.
    pub fn event(&self, name: &str, attributes: &[(&str, Value<'_>)]) {
        if let Some(span) = self.handle() {
            Attributes::with(attributes, |list| {
                abi::span_event(span, name.as_bytes(), list)
            });
        }
    }

    /// Adds a link to a span that this one has to do with, other than as its parent.
    pub fn link(&self, target: impl Into<Context>, attributes: &[(&str, Value<'_>)]) {
        if let Some(span) = self.handle() {
            let target = target.into().0;
            Attributes::with(attributes, |list| abi::span_link(span, target, list));
        }
    }

    /// Says that the work failed, and why.
    pub fn set_error(&self, description: &str) {
        if let Some(span) = self.handle() {
            abi::span_status(span, abi::STATUS_ERROR, description.as_bytes());
        }
    }

    /// Says that the work is known to have succeeded.
    pub fn set_ok(&self) {
        if let Some(span) = self.handle() {
            abi::span_status(span, abi::STATUS_OK, b"");
        }
    }

    /// Replaces the name.
    pub fn rename(&self, name: &str) {
        if let Some(span) = self.handle() {
            abi::span_rename(span, name.as_bytes());
        }
    }

    /// Records an exception: its type, its message and where it comes from (may be empty). It does not set the status.
    ///
    /// Of a span that is not kept it goes to the current one, and where there is none, it becomes a log record.
    pub fn exception(&self, kind: &str, message: &str, stack: &str) {
        abi::exception(self.0.max(0), kind, message, stack, &[]);
    }

    /// Ends the span now.
    pub fn end(self) {}
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        if self.0 > 0 {
            abi::span_end(self.0);
        }
    }
}

/// A span being current; made by [`Span::enter`].
#[derive(Debug)]
pub struct Entered<'s> {
    span: &'s Span,
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.span.0 > 0 {
            abi::span_exit(self.span.0);
        }
    }
}

/// A span being current until it ends; made by [`Span::entered`]. Has the methods of [`Span`].
#[derive(Debug)]
pub struct EnteredSpan {
    span: Span,
}

impl EnteredSpan {
    /// The span is no longer current, but goes on.
    pub fn exit(self) -> Span {
        let span = core::mem::replace(
            &mut core::mem::ManuallyDrop::new(self).span,
            Span::disabled(),
        );
        if span.0 > 0 {
            abi::span_exit(span.0);
        }
        span
    }
}

impl core::ops::Deref for EnteredSpan {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.span
    }
}

impl Drop for EnteredSpan {
    #[inline]
    fn drop(&mut self) {
        if self.span.0 > 0 {
            abi::span_exit(self.span.0);
        }
    }
}
