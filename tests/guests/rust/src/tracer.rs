//! The scenarios by `tracing`.

use tracing::{Level, Span, debug, error, field, info, info_span, instrument, span, trace, warn};

#[unsafe(no_mangle)]
pub extern "C" fn tracing_log_levels() {
    wasmscope::init();
    trace!(target: "conformance", "trace");
    debug!(target: "conformance", "debug");
    info!(target: "conformance", "info");
    warn!(target: "conformance", "warn");
    error!(target: "conformance", "error");
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_log_attributes() {
    wasmscope::init();
    let bytes: &[u8] = &[0x00, 0xFF];
    info!(target: "conformance", s = "text", t = true, i = -7, f = 2.5, b = bytes, "attributes");
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_log_event() {
    wasmscope::init();
    info!(name: "order.created", target: "conformance", id = 42, "created");
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_span_nested() {
    wasmscope::init();
    let _outer = info_span!("outer", otel.kind = "server", a = 1).entered();
    info!(target: "conformance", "inside outer");
    let _inner = info_span!("inner").entered();
    info!(target: "conformance", "inside inner");
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_span_parents() {
    wasmscope::init();
    let parent = info_span!("parent");
    let child = info_span!(parent: &parent, "child");
    let root = info_span!(parent: None, "root");
    drop(parent);
    drop(child);
    drop(root);
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_unicode() {
    wasmscope::init();
    drop(info_span!("späń 🦀", "🔑" = "日本語"));
    info!(target: "conformance", "日本語 ∓");
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_limits() {
    wasmscope::init();
    info!(target: "conformance", "{}", "x".repeat(70_000));
    drop(info_span!("limits", long = "y".repeat(20_000)));
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_trap() {
    wasmscope::init();
    let _doomed = info_span!("doomed").entered();
    warn!(target: "conformance", "about to fail");
    panic!("boom");
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_open_span() {
    wasmscope::init();
    std::mem::forget(info_span!("left open").entered());
}

/// Beyond the common scenarios: what `tracing` has that the others do not.
#[unsafe(no_mangle)]
pub extern "C" fn tracing_details() {
    wasmscope::init();
    let target = info_span!("target");
    let ended = target.id();
    drop(target);
    let details = info_span!(
        "details",
        later = field::Empty,
        otel.name = field::Empty,
        otel.status_description = field::Empty,
    );
    details.record("later", "yes");
    details.follows_from(ended);
    details.record("otel.status_description", "no stock");
    details.record("otel.name", "details.renamed");
    let copy = details.clone();
    drop(details);
    copy.in_scope(|| {
        let current = Span::current();
        info!(target: "conformance", same = current == copy, "still open");
    });
}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_values() {
    wasmscope::init();
    let cause = Refused { order: 7 };
    info!(
        target: "conformance",
        large = u64::MAX,
        larger = i128::MIN,
        small = 7u128,
        shown = %'ß',
        debug = ?[Some(1), None],
        cause = &cause as &(dyn std::error::Error + 'static),
        empty = field::Empty,
        "{} of {}",
        7,
        42,
    );
}

#[derive(Debug)]
struct Refused {
    order: i32,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "order {} refused", self.order)
    }
}

impl std::error::Error for Refused {}

#[unsafe(no_mangle)]
pub extern "C" fn tracing_instrument() {
    wasmscope::init();
    let _ = check(7);
    // Entries that are not left in the order in which they came.
    let (first, second) = (span!(Level::INFO, "first"), span!(Level::INFO, "second"));
    let first_entered = first.enter();
    let second_entered = second.enter();
    drop(first_entered);
    info!(target: "conformance", in_second = Span::current() == second, "crossed");
    drop(second_entered);
    info!(target: "conformance", none = Span::current().is_none(), "left");
}

#[instrument(err, target = "conformance")]
fn check(order: i32) -> Result<(), Refused> {
    info!(target: "conformance", "checking");
    Err(Refused { order })
}
