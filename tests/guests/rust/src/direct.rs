//! The scenarios by the direct API. The scenarios' spans have no target.

use wasmscope::{
    AttributeSet, Context, Counter, Gauge, Histogram, Kind, Span, ToValue, UpDownCounter, Value,
    attributes, error, fatal, info, span, trace, warn,
};

#[unsafe(no_mangle)]
pub extern "C" fn log_levels() {
    trace!(target: "conformance", "trace");
    wasmscope::debug!(target: "conformance", "debug");
    info!(target: "conformance", "info");
    warn!(target: "conformance", "warn");
    error!(target: "conformance", "error");
    fatal!(target: "conformance", "fatal");
}

#[unsafe(no_mangle)]
pub extern "C" fn log_attributes() {
    info!(
        target: "conformance",
        "attributes",
        s = "text",
        t = true,
        i = -7,
        f = 2.5,
        b = Value::Bytes(&[0x00, 0xFF]),
        list = ["a", "b"],
        ints = [1, 2],
        map = Value::map(&[("k", Value::Bool(true))]),
    );
}

#[unsafe(no_mangle)]
pub extern "C" fn log_event() {
    info!(target: "conformance", name: "order.created", "created", id = 42);
}

#[unsafe(no_mangle)]
pub extern "C" fn span_nested() {
    let outer = span!(target: "", kind: Kind::Server, "outer", a = 1);
    let _outer = outer.enter();
    info!(target: "conformance", "inside outer");
    let inner = span!(target: "", "inner");
    let _inner = inner.enter();
    info!(target: "conformance", "inside inner");
}

#[unsafe(no_mangle)]
pub extern "C" fn span_details() {
    let target = span!(target: "", "target");
    let ended = target.context();
    target.end();
    let details = span!(target: "", "details");
    details.set_attribute("later", "yes");
    details.event("cache.miss", attributes![key = "k"]);
    details.link(ended, attributes![why = "because"]);
    details.set_error("no stock");
    details.rename("details.renamed");
}

#[unsafe(no_mangle)]
pub extern "C" fn span_parents() {
    let parent = span!(target: "", "parent");
    let child = span!(target: "", parent: &parent, "child");
    let root = span!(target: "", parent: Context::NONE, "root");
    parent.end();
    child.end();
    root.end();
}

#[unsafe(no_mangle)]
pub extern "C" fn exception() {
    let failing = span!(target: "", "failing").entered();
    failing.exception("ValueError", "bad value", "at f");
    failing.set_error("bad value");
}

#[unsafe(no_mangle)]
pub extern "C" fn metrics() {
    static REQUESTS: Counter = Counter::new("requests")
        .unit("{request}")
        .description("Requests served");
    static QUEUE: UpDownCounter = UpDownCounter::new("queue");
    static LATENCY: Histogram = Histogram::new("latency")
        .unit("ms")
        .boundaries(&[1.0, 10.0]);
    static TEMPERATURE: Gauge = Gauge::new("temperature");
    static VOLUME: Counter<f64> = Counter::new("volume");
    static A: AttributeSet = AttributeSet::new(&[("route", Value::Str("/a"))]);

    REQUESTS.add(1);
    REQUESTS.add_with(2, &A);
    REQUESTS.add_with(3, &AttributeSet::register(attributes![route = "/a"]));
    QUEUE.add(5);
    QUEUE.add(-2);
    LATENCY.record_with(0.5, &A);
    LATENCY.record_with(5.0, &A);
    LATENCY.record_with(50.0, &A);
    TEMPERATURE.set(20.5);
    TEMPERATURE.set(21.5);
    VOLUME.add(1.5);
}

#[unsafe(no_mangle)]
pub extern "C" fn propagation() {
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let remote = wasmscope::remote_context(traceparent, "vendor=x");
    let span = span!(target: "", kind: Kind::Server, parent: &remote, "from remote").entered();
    span.set_attributes(attributes![
        outgoing = wasmscope::inject("traceparent"),
        trace_id = wasmscope::span_context().map(|ids| ids.trace_id_hex()),
        tenant = wasmscope::baggage("tenant"),
    ]);
}

#[unsafe(no_mangle)]
pub extern "C" fn unicode() {
    span!(target: "", "späń 🦀", "🔑" = "日本語").end();
    info!(target: "conformance", "日本語 ∓");
}

#[unsafe(no_mangle)]
pub extern "C" fn limits() {
    info!(target: "conformance", "x".repeat(70_000));
    span!(target: "", "limits", long = "y".repeat(20_000)).end();
    let names: Vec<String> = (0..130).map(|i| format!("a{i}")).collect();
    let many: Vec<(&str, Value)> = names
        .iter()
        .zip(0i64..)
        .map(|(name, i)| (name.as_str(), Value::I64(i)))
        .collect();
    Span::start_with("many", Kind::Internal, Context::CURRENT, &many).end();
}

#[unsafe(no_mangle)]
pub extern "C" fn trap() {
    wasmscope::init();
    let _doomed = span!(target: "", "doomed").entered();
    warn!(target: "conformance", "about to fail");
    panic!("boom");
}

#[unsafe(no_mangle)]
pub extern "C" fn open_span() {
    let left = span!(target: "", "left open");
    std::mem::forget(left.enter());
    std::mem::forget(left);
}

/// Beyond the common scenarios: the values that only Rust has, and a formatted body.
#[unsafe(no_mangle)]
pub extern "C" fn rust_values() {
    let order = 42u8;
    let none: Option<&str> = None;
    info!(
        target: "conformance",
        format_args!("{} of {order}", 7),
        order,
        large = u64::MAX,
        larger = i128::MIN,
        "http.route" = format_args!("/{order}"),
        user.name = "Zoë".to_string(),
        letter = 'ß',
        debug = wasmscope::debug(&[Some(1), None]),
        display = wasmscope::display('ß'),
        none,
        nested = [[1, 2], [3, 4]].to_value(),
    );
}
