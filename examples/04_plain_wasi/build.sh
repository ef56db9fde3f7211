#!/bin/sh
# Builds guest.wasm from guest/ into $OUT_DIR, else beside this file. script/fixtures runs it with the Rust that it needs.
set -eu
cd "$(dirname "$0")"
out=${OUT_DIR:-$PWD}
cd guest
cargo build --quiet --release --locked --target wasm32-wasip1
cp "${CARGO_TARGET_DIR:-target}/wasm32-wasip1/release/wordcount.wasm" "$out/guest.wasm"
