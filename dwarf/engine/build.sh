#!/bin/sh
# Build the engine, and put it into $OUT_DIR (without one: where the package has it).
# CARGO_TARGET_DIR should be outside of the source tree.
#
# No feature of WebAssembly is used but those named here, which engines have had since 2020. The
# same compiler makes the same bytes of the same sources: one codegen unit, no path in them.

set -eu
# The pinned compiler where rustup has it; otherwise the one on PATH, instead of a download.
pinned=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
cargo=cargo
if command -v rustup >/dev/null && rustup toolchain list | grep -q "^$pinned"; then
    cargo=$(rustup which --toolchain "$pinned" cargo)
    RUSTC=$(rustup which --toolchain "$pinned" rustc)
    export RUSTC
fi
target=${CARGO_TARGET_DIR:-target}/engine
RUSTFLAGS="-C target-cpu=mvp
    -C target-feature=+bulk-memory,+mutable-globals,+sign-ext,+nontrapping-fptoint
    -C link-arg=-zstack-size=1048576
    --remap-path-prefix=$PWD=engine
    --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
export RUSTFLAGS
"$cargo" build --quiet --release --locked --target wasm32-unknown-unknown --target-dir "$target"
install -m 644 "$target/wasm32-unknown-unknown/release/wasmscope_engine.wasm" \
    "${OUT_DIR:-../wasmscope/dwarf}/_engine.wasm"
