#!/bin/sh
# Prints what each part of the SDK adds to a guest, in bytes, and fails if one adds more than it may.
#
# The guests are in guests/; they are built with the profile of Cargo.toml by the cargo on PATH.
set -eu
cd "$(dirname "$0")"
made=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release
failed=0

# size_of PACKAGE [CARGO OPTION...]
size_of() {
    package=$1
    shift
    cargo build --quiet --release --locked --target wasm32-unknown-unknown -p "$package" "$@" >&2
    wc -c <"$made/$package.wasm"
}

# check WHAT MAXIMUM BASE SIZE
check() {
    added=$(($4 - $3))
    verdict=
    if [ "$added" -gt "$2" ]; then
        verdict='  TOO MUCH'
        failed=1
    fi
    printf '%-44s %6d bytes, may be %6d%s\n' "$1" "$added" "$2" "$verdict"
}

rustc --version
empty=$(size_of size_empty)
check 'direct API, without allocator' 3072 "$empty" "$(size_of size_direct)"
allocating=$(size_of size_empty --features alloc)
check 'direct API, in a guest that allocates anyway' 4096 "$allocating" "$(size_of size_direct --features alloc)"
check 'log' 14336 "$empty" "$(size_of size_log)"
check 'tracing' 32768 "$empty" "$(size_of size_tracing)"
check 'tracing with its default features, and panic' 65536 "$empty" "$(size_of size_tracing --features std)"
exit $failed
