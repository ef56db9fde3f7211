#!/bin/sh
# Builds guest.wasm from guest/ into $OUT_DIR, else beside this file. script/fixtures
# runs it with the compiler that it needs.
set -eu
cd "$(dirname "$0")"
out=${OUT_DIR:-$PWD}
cd guest
sh ../../../guest_sdk/assemblyscript/script/asc.sh assembly/index.ts \
    --outFile "$out/guest.wasm" -O3 --debug --use abort=~lib/wasmscope/index/abort
