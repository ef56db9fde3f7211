#!/bin/sh
# Builds conformance.wasm into $OUT_DIR, else beside this file. script/fixtures runs it
# with the compiler that it needs.
set -eu
cd "$(dirname "$0")"
sh ../../../guest_sdk/assemblyscript/script/asc.sh assembly/index.ts \
    --outFile "${OUT_DIR:-.}/conformance.wasm" -O3 --debug --use abort=~lib/wasmscope/index/abort
