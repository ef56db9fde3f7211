//! A program of the `log` crate.

#[unsafe(no_mangle)]
pub extern "C" fn run(order: i32) {
    wasmscope::init();
    log::info!("order {order} placed");
    if order < 0 {
        log::error!("no such order: {order}");
    }
}
