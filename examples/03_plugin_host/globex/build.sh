#!/bin/sh
# Builds globex.wasm into $OUT_DIR, else beside this file. script/fixtures runs it with the Rust that it needs.
set -eu
cd "$(dirname "$0")"
cargo build --quiet --release --locked --target wasm32-unknown-unknown
cp "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/globex.wasm" "${OUT_DIR:-.}/"
