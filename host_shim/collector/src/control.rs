//! The block of memory through which the host and the collector talk. README.md has the table.

use crate::memory::{P, Var};

/// What spans, remote contexts and the frame have at the same offsets.
#[repr(C)]
pub struct Context {
    pub trace_id: [u64; 2],
    pub span_id: u64,
    /// Number of the guest that was called.
    pub frame_guest: u32,
    pub flags: u8,
    pub is_remote: u8,
    pub is_valid: u8,
    pub is_recording: u8,
    pub tracestate: u32,
    /// Of the frame: where the entries of the call begin. Of a span: its generation.
    pub extra: u32,
}

#[repr(C)]
pub struct Control {
    /// 1 between operations; 0 in one, after a trap in one, and before `init`: new memory is 0.
    pub idle: u32,
    pub in_host: u32,
    // Saved and put back by the host around nested calls, up to `entered_len`.
    pub frame_id: u64,
    pub frame: Context,
    _free: u64,
    pub current_handle: u64,
    pub current_trace_id: [u64; 2],
    pub current_span_id: u64,
    pub current_guest: u32,
    pub current_flags: u8,
    pub current_is_recording: u8,
    _current_free: u16,
    pub current_tracestate: u32,
    _current_free_2: [u32; 5],
    pub entered_len: u32,
    pub stale: u32,
    pub open_spans: u32,
    pub out_bytes: u32,
    pub metrics_dirty: u32,
    pub rejected: u32,
    pub oldest_ns: u64,
    pub reported_frame: u64,
    pub reported_ptr: u32,
    pub reported_len: u32,
    pub scratch_ptr: u32,
    pub scratch_cap: u32,
    pub text_ptr: u32,
    pub text_len: u32,
    /// 1 while the host changes a guest's span.
    pub for_host: u32,
    _free_196: u32,
    _free_200: [u64; 7],
    // Configuration, from 256 on.
    pub limits: Limits,
    pub min_severity: u32,
    pub flags: u32,
    pub root_policy: u32,
    pub remote_sampled_policy: u32,
    pub remote_unsampled_policy: u32,
    pub buffer_bytes: u32,
    pub max_age_ns: u64,
    pub clock_uses: u32,
    pub exponential_max_size: u32,
    pub exponential_max_scale: i32,
    _free_380: u32,
    // Request ROOT, from 384 on.
    pub root: Root,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    pub body: u32,
    pub value: u32,
    pub name: u32,
    pub message: u32,
    pub stack: u32,
    pub key: u32,
    pub attributes_bytes: u32,
    pub attributes: u32,
    pub elements: u32,
    pub depth: u32,
    pub events: u32,
    pub links: u32,
    pub open_spans: u32,
    pub span_depth: u32,
    pub callsites: u32,
    pub instruments: u32,
    pub attribute_sets: u32,
    pub descriptor: u32,
    pub kept_bytes: u32,
    pub kept_contexts: u32,
}

#[repr(C)]
pub struct Root {
    pub callsite: u32,
    pub kind: u32,
    pub name_ptr: u32,
    pub name_len: u32,
    pub attrs_ptr: u32,
    pub attrs_len: u32,
    pub trace_id: [u64; 2],
    pub parent_span_id: u64,
    pub parent_flags: u8,
    pub decision: u8,
    pub flags: u8,
    _free: u8,
    pub tracestate: u32,
    pub extra_len: u32,
    pub extra_ptr: u32,
    pub extra_cap: u32,
    /// The call site's descriptor; empty without one.
    pub site_ptr: u32,
    pub site_len: u32,
    /// Length of the sampler's trace state, behind the extra attributes; `SAME_STATE` if it is the parent's. Also of the
    /// trace state of OpenTelemetry's current span, without attributes before it; `SAME_STATE` if it has none.
    pub state_len: u32,
}

/// The sampler has left the trace state as it was.
pub const SAME_STATE: u32 = u32::MAX;

impl Control {
    /// Where the entries of this call begin on the stack of entered spans.
    #[inline(always)]
    pub fn entered_base(&self) -> u32 {
        self.frame.extra
    }
}

/// Measurements of histograms are passed on one by one.
pub const RAW_HISTOGRAMS: u32 = 1;
/// Spans that record without being sampled are passed on, too.
pub const UNSAMPLED: u32 = 2;
/// Histograms without explicit boundaries are exponential.
pub const EXPONENTIAL: u32 = 4;

#[repr(C, align(8))]
struct Block([u64; 64]);

static BLOCK: Var<BlockOf> = Var::new(BlockOf(Block([0; 64])));

#[derive(Clone, Copy)]
#[repr(transparent)]
struct BlockOf(Block);

impl Clone for Block {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Block {}

const _: () = {
    assert!(core::mem::offset_of!(Control, frame) == 16);
    assert!(core::mem::offset_of!(Control, current_handle) == 64);
    assert!(core::mem::offset_of!(Control, current_tracestate) == 104);
    assert!(core::mem::offset_of!(Control, entered_len) == 128);
    assert!(core::mem::offset_of!(Control, oldest_ns) == 152);
    assert!(core::mem::offset_of!(Control, text_len) == 188);
    assert!(core::mem::offset_of!(Control, for_host) == 192);
    assert!(core::mem::offset_of!(Control, limits) == 256);
    assert!(core::mem::offset_of!(Control, min_severity) == 336);
    assert!(core::mem::offset_of!(Control, max_age_ns) == 360);
    assert!(core::mem::offset_of!(Control, exponential_max_scale) == 376);
    assert!(core::mem::offset_of!(Control, root) == 384);
    assert!(core::mem::offset_of!(Root, trace_id) == 24);
    assert!(core::mem::offset_of!(Root, tracestate) == 52);
    assert!(core::mem::offset_of!(Root, extra_cap) == 64);
    assert!(core::mem::size_of::<Control>() <= 512);
};

#[inline(always)]
pub fn control() -> P<Control> {
    P::at(BLOCK.address())
}

#[inline(always)]
pub fn limits() -> P<Limits> {
    P::at(BLOCK.address() + core::mem::offset_of!(Control, limits) as u32)
}
