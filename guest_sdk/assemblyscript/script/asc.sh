#!/bin/sh
# Run the AssemblyScript compiler in the current folder, on a program that is part of this
# repository and imports "wasmscope". Programs elsewhere install the package instead.
#
# Usage: asc.sh [ASC ARGUMENTS...]
set -eu
sdk=$(dirname "$(dirname "$(readlink -f "$0")")")
[ -x "$sdk/node_modules/.bin/asc" ] || {
    echo "error: the compiler is not installed; get it with: cd $sdk && npm ci" >&2
    exit 1
}
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
trap 'exit 1' HUP INT TERM
ln -s "$sdk" "$packages/wasmscope"
"$sdk/node_modules/.bin/asc" "$@" --path "$packages"
