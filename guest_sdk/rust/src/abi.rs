//! The functions of the import module `wasmscope_v1`, and nothing else that knows them.
//!
//! Off WebAssembly every function does nothing and returns 0, so that guest code runs in native tests.
//! The wrappers take slices where the ABI takes address and length; what each means is in `docs/abi.md`.

// One comment covers every block of this module.
#![allow(clippy::undocumented_unsafe_blocks, clippy::too_many_arguments)]

/// Whether there is a host.
pub(crate) const IS_GUEST: bool = cfg!(any(target_arch = "wasm32", target_arch = "wasm64"));

macro_rules! imports {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        mod raw {
            #[cfg(any(target_arch = "wasm32", target_arch = "wasm64"))]
            #[link(wasm_import_module = "wasmscope_v1")]
            extern "C" {
                $(pub(super) fn $name($($argument: $type),*) $(-> $result)?;)*
            }
            $(
                #[cfg(not(any(target_arch = "wasm32", target_arch = "wasm64")))]
                pub(super) unsafe fn $name($($argument: $type),*) $(-> $result)? {
                    let _ = ($($argument,)*);
                    $(<$result>::default())?
                }
            )*
        }
    };
}

imports! {
    fn flush();
    fn callsite(descriptor: *const u8, descriptor_len: usize) -> i32;
    fn enabled(callsite: i32) -> i32;
    fn log(callsite: i32, severity: i32, context: i64, body: *const u8, body_len: usize,
        attributes: *const u8, attributes_len: usize);
    fn span_start(callsite: i32, name: *const u8, name_len: usize, context: i64, kind: i32,
        attributes: *const u8, attributes_len: usize) -> i64;
    fn span_enter(span: i64);
    fn span_exit(span: i64);
    fn span_end(span: i64);
    fn span_attributes(span: i64, attributes: *const u8, attributes_len: usize);
    fn span_event(span: i64, name: *const u8, name_len: usize, attributes: *const u8,
        attributes_len: usize);
    fn span_link(span: i64, target: i64, attributes: *const u8, attributes_len: usize);
    fn span_status(span: i64, code: i32, description: *const u8, description_len: usize);
    fn span_rename(span: i64, name: *const u8, name_len: usize);
    fn exception(span: i64, kind: *const u8, kind_len: usize, message: *const u8,
        message_len: usize, stack: *const u8, stack_len: usize, attributes: *const u8,
        attributes_len: usize);
    fn span_context(context: i64, out: *mut u8) -> i32;
    fn inject(context: i64, field: *const u8, field_len: usize, out: *mut u8, capacity: usize) -> i32;
    fn remote_context(traceparent: *const u8, traceparent_len: usize, tracestate: *const u8,
        tracestate_len: usize) -> i64;
    fn baggage_get(key: *const u8, key_len: usize, out: *mut u8, capacity: usize) -> i32;
    fn instrument(kind: i32, number: i32, descriptor: *const u8, descriptor_len: usize) -> i32;
    fn attribute_set(attributes: *const u8, attributes_len: usize) -> i32;
    fn measure_i64(instrument: i32, value: i64, attribute_set: i32);
    fn measure_f64(instrument: i32, value: f64, attribute_set: i32);
}

// SAFETY, of every `unsafe` block below: the host reads only the bytes of the slices passed as address
// and length, writes only into those passed as `out` (at most their length), and keeps neither after it
// returns. It calls nothing back.

#[inline]
pub(crate) fn flush() {
    unsafe { raw::flush() }
}

#[inline]
pub(crate) fn callsite(descriptor: &[u8]) -> i32 {
    unsafe { raw::callsite(descriptor.as_ptr(), descriptor.len()) }
}

#[inline]
pub(crate) fn enabled(callsite: i32) -> i32 {
    if IS_GUEST {
        unsafe { raw::enabled(callsite) }
    } else {
        NEVER
    }
}

/// The answer of `enabled`: no, for the life of the instance.
pub(crate) const NEVER: i32 = 0b10;
#[inline]
pub(crate) fn log(callsite: i32, severity: u8, context: i64, body: &[u8], attributes: &[u8]) {
    let (at, len) = (attributes.as_ptr(), attributes.len());
    unsafe {
        raw::log(
            callsite,
            severity.into(),
            context,
            body.as_ptr(),
            body.len(),
            at,
            len,
        )
    }
}

#[inline]
pub(crate) fn span_start(
    callsite: i32,
    name: &[u8],
    context: i64,
    kind: i32,
    attributes: &[u8],
) -> i64 {
    let (at, len) = (attributes.as_ptr(), attributes.len());
    unsafe { raw::span_start(callsite, name.as_ptr(), name.len(), context, kind, at, len) }
}

#[inline]
pub(crate) fn span_enter(span: i64) {
    unsafe { raw::span_enter(span) }
}

#[inline]
pub(crate) fn span_exit(span: i64) {
    unsafe { raw::span_exit(span) }
}

#[inline]
pub(crate) fn span_end(span: i64) {
    unsafe { raw::span_end(span) }
}

#[inline]
pub(crate) fn span_attributes(span: i64, attributes: &[u8]) {
    unsafe { raw::span_attributes(span, attributes.as_ptr(), attributes.len()) }
}

#[inline]
pub(crate) fn span_event(span: i64, name: &[u8], attributes: &[u8]) {
    let (at, len) = (attributes.as_ptr(), attributes.len());
    unsafe { raw::span_event(span, name.as_ptr(), name.len(), at, len) }
}

#[inline]
pub(crate) fn span_link(span: i64, target: i64, attributes: &[u8]) {
    unsafe { raw::span_link(span, target, attributes.as_ptr(), attributes.len()) }
}

/// OTLP's status codes.
pub(crate) const STATUS_OK: i32 = 1;
pub(crate) const STATUS_ERROR: i32 = 2;

#[inline]
pub(crate) fn span_status(span: i64, code: i32, description: &[u8]) {
    unsafe { raw::span_status(span, code, description.as_ptr(), description.len()) }
}

#[inline]
pub(crate) fn span_rename(span: i64, name: &[u8]) {
    unsafe { raw::span_rename(span, name.as_ptr(), name.len()) }
}

#[inline]
pub(crate) fn exception(span: i64, kind: &str, message: &str, stack: &str, attributes: &[u8]) {
    unsafe {
        raw::exception(
            span,
            kind.as_ptr(),
            kind.len(),
            message.as_ptr(),
            message.len(),
            stack.as_ptr(),
            stack.len(),
            attributes.as_ptr(),
            attributes.len(),
        )
    }
}

#[inline]
pub(crate) fn span_context(context: i64, out: &mut [u8; 32]) -> bool {
    unsafe { raw::span_context(context, out.as_mut_ptr()) != 0 }
}

#[inline]
pub(crate) fn inject(context: i64, field: &str, out: &mut [u8]) -> i32 {
    let (at, capacity) = (out.as_mut_ptr(), out.len());
    unsafe { raw::inject(context, field.as_ptr(), field.len(), at, capacity) }
}

#[inline]
pub(crate) fn remote_context(traceparent: &str, tracestate: &str) -> i64 {
    let (at, len) = (tracestate.as_ptr(), tracestate.len());
    unsafe { raw::remote_context(traceparent.as_ptr(), traceparent.len(), at, len) }
}

#[inline]
pub(crate) fn baggage_get(key: &str, out: &mut [u8]) -> i32 {
    if IS_GUEST {
        unsafe { raw::baggage_get(key.as_ptr(), key.len(), out.as_mut_ptr(), out.len()) }
    } else {
        -1
    }
}

#[inline]
pub(crate) fn instrument(kind: i32, number: i32, descriptor: &[u8]) -> i32 {
    unsafe { raw::instrument(kind, number, descriptor.as_ptr(), descriptor.len()) }
}

#[inline]
pub(crate) fn attribute_set(attributes: &[u8]) -> i32 {
    unsafe { raw::attribute_set(attributes.as_ptr(), attributes.len()) }
}

#[inline]
pub(crate) fn measure_i64(instrument: i32, value: i64, attribute_set: i32) {
    unsafe { raw::measure_i64(instrument, value, attribute_set) }
}

#[inline]
pub(crate) fn measure_f64(instrument: i32, value: f64, attribute_set: i32) {
    unsafe { raw::measure_f64(instrument, value, attribute_set) }
}
