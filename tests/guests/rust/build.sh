#!/bin/sh
# Builds conformance.wasm with the cargo on PATH (target wasm32-unknown-unknown) into $OUT_DIR, else beside this file.
set -eu
cd "$(dirname "$0")"
. ../../../guest_sdk/rust/size/build.sh
build conformance "${OUT_DIR:-.}/conformance.wasm"
