//! The scenarios by the `log` crate.

use log::{debug, error, info, trace, warn};

#[unsafe(no_mangle)]
pub extern "C" fn logger_log_levels() {
    wasmscope::init();
    trace!(target: "conformance", "trace");
    debug!(target: "conformance", "debug");
    info!(target: "conformance", "info");
    warn!(target: "conformance", "warn");
    error!(target: "conformance", "error");
}

#[unsafe(no_mangle)]
pub extern "C" fn logger_log_attributes() {
    wasmscope::init();
    info!(target: "conformance", s = "text", t = true, i = -7, f = 2.5; "attributes");
}

#[unsafe(no_mangle)]
pub extern "C" fn logger_values() {
    wasmscope::init();
    info!(target: "conformance", large = u64::MAX, shown:% = 'ß', debug:? = [Some(1), None]; "{} of {}", 7, 42);
}

#[unsafe(no_mangle)]
pub extern "C" fn logger_unicode() {
    wasmscope::init();
    info!(target: "conformance", "日本語 ∓");
}
