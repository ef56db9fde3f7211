#!/bin/sh
# Build the conformance guest into $OUT_DIR, by default beside this file.
set -eu
cd "$(dirname "$0")"
sh ../../../guest_sdk/assemblyscript/script/asc.sh assembly/index.ts \
    --outFile "${OUT_DIR:-.}/guest.wasm" --sourceMap \
    -O3 --debug --use abort=~lib/wasmscope/index/abort
