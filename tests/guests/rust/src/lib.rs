//! The conformance scenarios (`tests/conformance/README.md`) in Rust: by the direct API under their own names, by `tracing` and
//! by `log` under names with that prefix, as far as those can express them.

#[cfg(feature = "direct")]
mod direct;
#[cfg(feature = "logger")]
mod logger;
#[cfg(feature = "tracer")]
mod tracer;
