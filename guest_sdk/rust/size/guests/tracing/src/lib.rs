//! A program of the `tracing` crate.

#[unsafe(no_mangle)]
pub extern "C" fn run(order: i32) {
    wasmscope::init();
    handle(order);
}

#[tracing::instrument]
fn handle(order: i32) {
    tracing::info!(
        order,
        total = 12.5,
        express = true,
        tenant = "acme",
        "order placed"
    );
    if order < 0 {
        tracing::error!("no such order: {order}");
    }
}
