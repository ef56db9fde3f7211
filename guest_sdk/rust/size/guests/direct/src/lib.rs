//! Logs, spans and metrics by the direct API, without `core::fmt`.

use wasmscope::{AttributeSet, Counter, Histogram, Value};

static ORDERS: Counter = Counter::new("orders").unit("{order}");
static LATENCY: Histogram = Histogram::new("latency")
    .unit("ms")
    .boundaries(&[1.0, 10.0]);
static SHOP: AttributeSet = AttributeSet::new(&[("shop", Value::Str("main"))]);

#[unsafe(no_mangle)]
pub extern "C" fn run(order: i32) {
    let span = wasmscope::span!("handle", order);
    let _entered = span.enter();
    wasmscope::info!(
        "order placed",
        order,
        total = 12.5,
        express = true,
        tenant = "acme"
    );
    ORDERS.add_with(1, &SHOP);
    LATENCY.record(0.5);
}
