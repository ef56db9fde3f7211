# To be sourced: builds guests without paths of this machine in them.

# build PACKAGE FILE [CARGO OPTION...]: builds a package of the current directory's workspace for release.
build() {
    build_package=$1
    build_file=$2
    shift 2
    build_home=${CARGO_HOME:-$HOME/.cargo}
    build_root=$(cd "$(git rev-parse --show-toplevel)" && pwd -P)
    build_target=${CARGO_TARGET_DIR:-$PWD/target}
    RUSTFLAGS="${RUSTFLAGS-} --remap-path-prefix=$build_home/registry/src= --remap-path-prefix=$build_root/=" \
        cargo build --quiet --release --locked --target wasm32-unknown-unknown --target-dir "$build_target" \
        -p "$build_package" "$@"
    cp "$build_target/wasm32-unknown-unknown/release/$(echo "$build_package" | tr - _).wasm" "$build_file"
}
