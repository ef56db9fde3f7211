#!/bin/sh
# Builds conformance.wasm and logger.wasm into $OUT_DIR, else beside this file. script/fixtures runs it with the Rust
# that it needs.
set -eu
cd "$(dirname "$0")"
out=${OUT_DIR:-.}
made=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/conformance.wasm

cargo build --quiet --release --locked --target wasm32-unknown-unknown --no-default-features --features logger
cp "$made" "$out/logger.wasm"
cargo build --quiet --release --locked --target wasm32-unknown-unknown
cp "$made" "$out/conformance.wasm"
