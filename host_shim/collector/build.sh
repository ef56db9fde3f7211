#!/bin/sh
# Build the collector, and put it into $OUT_DIR (without one: where the package has it).
# CARGO_TARGET_DIR should be outside of the source tree.
#
# No feature of WebAssembly is used but those named here: engines have them since 2020. With
# codegen-units = 1, lto, the pinned compiler and no path in it, the same sources give the same bytes.

set -eu
target=${CARGO_TARGET_DIR:-target}
RUSTFLAGS="-C target-cpu=mvp
    -C target-feature=+bulk-memory,+mutable-globals,+sign-ext,+nontrapping-fptoint
    -C link-arg=-zstack-size=16384
    -C link-arg=--initial-memory=262144
    -C link-arg=--export=__stack_pointer
    --remap-path-prefix=$PWD=collector"
export RUSTFLAGS
cargo build --quiet --release --target wasm32-unknown-unknown --target-dir "$target/collector" "$@"
cp "$target/collector/wasm32-unknown-unknown/release/wasmscope_collector.wasm" \
    "${OUT_DIR:-../wasmscope/host_shim}/_collector.wasm"
