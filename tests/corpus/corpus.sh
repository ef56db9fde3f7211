#!/bin/sh
# Build modules of real programs, with DWARF, into $OUT_DIR; or one of them, if it is named.
# script/setup corpus runs it, with the toolchains on PATH.
#
# Usage: OUT_DIR=DIR corpus.sh [MODULE]
set -eu
cd "$(dirname "$0")"
made=$OUT_DIR/made
crates=$made/crates

# compile NAME INCLUDES_AND_OPTIONS SOURCE...: a module of a C library for wasi with -O2. The version of
# DWARF is the end of NAME.
compile() {
    name=$1
    options=$2
    shift 2
    # shellcheck disable=SC2086  # a list of options
    clang-19 --target=wasm32-wasi -mexec-model=reactor -O2 -g -gdwarf-"${name##*-dwarf}" -w \
        -ffile-prefix-map="$crates=/src" -fdebug-compilation-dir=/src $options -o "$OUT_DIR/$name.wasm" "$@"
}

case ${1-} in
'')
    mkdir -p "$made"
    cargo vendor --quiet --locked "$crates" </dev/null >"$made/log" 2>&1 || {
        cat "$made/log" >&2
        exit 1
    }
    # The long ones first.
    printf '%s\n' sqlite-dwarf4 sqlite-dwarf5 zstd-dwarf4 zstd-dwarf5 rust-debug rust-release lua-dwarf4 lua-dwarf5 \
        cpp-dwarf4 cpp-dwarf5 | xargs -P 2 -n 1 sh ./corpus.sh
    rm -rf "$made"
    ;;
sqlite-*)
    compile "$1" '-DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL -D_WASI_EMULATED_GETPID -D_WASI_EMULATED_SIGNAL
        -D_WASI_EMULATED_MMAN -D_WASI_EMULATED_PROCESS_CLOCKS -lwasi-emulated-getpid
        -Wl,--export=sqlite3_open,--export=sqlite3_exec,--export=sqlite3_prepare_v2,--export=sqlite3_step,--export=sqlite3_close' \
        "$crates/libsqlite3-sys/sqlite3/sqlite3.c"
    ;;
zstd-*)
    compile "$1" '-DZSTD_DISABLE_ASM -Wl,--export=ZSTD_compress,--export=ZSTD_decompress' \
        "$crates"/zstd-sys/zstd/lib/common/*.c "$crates"/zstd-sys/zstd/lib/compress/*.c "$crates"/zstd-sys/zstd/lib/decompress/*.c
    ;;
lua-*)
    # WebAssembly has no setjmp yet: an error is a trap.
    # shellcheck disable=SC2046  # none of their names has a space
    compile "$1" '-DLUAI_THROW(L,c)=__builtin_trap() -DLUAI_TRY(L,c,a)={a} -Dluai_jmpbuf=int -Dl_signalT=int -D_SETJMP_H
        -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -lwasi-emulated-signal -lwasi-emulated-process-clocks
        -Wl,--export=luaL_newstate,--export=luaL_loadstring,--export=lua_pcallk,--export=luaopen_base,--export=luaopen_string
        -Wl,--export=luaopen_table,--export=luaopen_math,--export=luaopen_utf8,--export=luaopen_coroutine' \
        $(for source in "$crates"/lua-src/lua-5.4.7/l*.c; do
            case $source in */lua.c | */luac.c | */liolib.c | */loslib.c | */linit.c) ;; *) echo "$source" ;; esac
        done)
    ;;
cpp-*)
    clang++-19 --target=wasm32-wasi -O2 -g -gdwarf-"${1##*-dwarf}" -std=c++20 -fno-exceptions \
        -ffile-prefix-map="$PWD=/src" -fdebug-compilation-dir=/src -o "$OUT_DIR/$1.wasm" cpp/containers.cpp
    ;;
rust-*)
    level=0
    if [ "$1" = rust-release ]; then level=3; fi
    rustc --target wasm32-wasip1 --edition 2021 -C opt-level=$level -C debuginfo=2 -C linker=rust-lld \
        --remap-path-prefix="$PWD=/src" -o "$OUT_DIR/$1.wasm" rust/main.rs
    ;;
*)
    echo "corpus.sh does not know '$1'" >&2
    exit 1
    ;;
esac
