# shellcheck shell=sh
# Sourced by the programs in this folder; does nothing by itself but define where things
# are (root, cache) and the functions below. POSIX sh.

script_dir=$(dirname "$(readlink -f "$0")")
# shellcheck disable=SC2034  # used by the scripts that source this file
root=$(dirname "$script_dir")
# Toolchains and Jaeger live here, outside the work tree, shared by all checkouts.
cache=${WASMSCOPE_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME is not set}/.cache}/wasmscope}

say() { printf '%s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Print the comment at the top of the running script, for -h.
usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$(readlink -f "$0")"; }

have() { command -v "$1" >/dev/null 2>&1; }

in_ci() { [ "${CI:-}" = true ]; }

# First 12 hex digits of the SHA-256 of the files named, joined.
key_of() {
    if have sha256sum; then cat "$@" | sha256sum; else cat "$@" | shasum -a 256; fi | cut -c1-12
}

# system_packages WHY PACKAGE...: install Debian packages when run as root, else say how.
system_packages() {
    why=$1
    shift
    if ! have apt-get; then
        die "$why. On Debian or Ubuntu: sudo apt-get install $*"
    elif [ "$(id -u)" != 0 ]; then
        die "$why. Install it with: sudo apt-get install $*"
    fi
    say "$why: installing $* with apt-get"
    if ! apt-get -qq update >&2 ||
        ! DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" </dev/null >/dev/null; then
        die "apt-get could not install $*"
    fi
}

# Set base_python to a Python >= 3.11 that can make virtual environments, and
# python_id to what identifies it. Asks for the interpreter beneath an active
# environment, which may be the very one that is about to be rebuilt.
find_python() {
    wanted=${PYTHON:-python3}
    have "$wanted" || system_packages "$wanted is not there (wasmscope needs Python 3.11 or newer)" python3 python3-venv
    base_python=$("$wanted" -c 'import os, sys; print(os.path.realpath(sys._base_executable))') || die "$wanted does not start"
    "$base_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$base_python is older than 3.11; name a newer one: PYTHON=/path/to/python3 $0"
    "$base_python" -c 'import ensurepip, venv' 2>/dev/null || {
        system_packages "$base_python cannot make virtual environments" python3-venv
        "$base_python" -c 'import ensurepip, venv' 2>/dev/null ||
            die "$base_python has no venv module, and Debian's is for its own Python; try PYTHON=/usr/bin/python3 $0"
    }
    # Last, because installing python3-venv may have brought another release of it.
    python_id=$("$base_python" -c 'import sys; print(sys.executable, sys.version)')
}

# ensure_env run|test|dev: have .venv hold what the program, its tests or everything
# needs, at exactly the pinned versions, with wasmscope installed from this checkout.
# Sets python. Rebuilt whenever the pins, the interpreter or the checkout's place change.
ensure_env() {
    case $1 in
    run) sets=run ;;
    test) sets='run test' ;;
    dev) sets='run test lint' ;;
    esac
    find_python
    venv=$root/.venv
    python=$venv/bin/python
    key="$python_id $root $(cd "$root/requirements" && key_of run.txt test.txt lint.txt)"
    if [ "$(cat "$venv/.wasmscope-key" 2>/dev/null)" != "$key" ]; then
        say "Making the virtual environment .venv"
        rm -rf "$venv"
        "$base_python" -m venv "$venv"
        printf '%s\n' "$key" >"$venv/.wasmscope-key"
    fi
    for set in $sets; do
        [ -e "$venv/.wasmscope-$set" ] && continue
        say "Installing requirements/$set.txt into .venv"
        pip_install --require-hashes -r "$root/requirements/$set.txt"
        : >"$venv/.wasmscope-$set"
    done
    project=$(key_of "$root/pyproject.toml")
    if [ "$(cat "$venv/.wasmscope-project" 2>/dev/null)" != "$project" ]; then
        say "Installing wasmscope from this checkout into .venv"
        pip_install --no-index --no-deps --no-build-isolation -e "$root"
        printf '%s\n' "$project" >"$venv/.wasmscope-project"
    fi
}

pip_install() {
    "$python" -m pip install -q --disable-pip-version-check --no-input "$@" </dev/null ||
        die "pip could not install what is needed (its message is above); then run this again"
}

# --- Toolchains for guests -----------------------------------------------------------
#
# What the machine has is used where it will do; else what script/setup put into the cache.

rust_minimum=85 # 1.85, the first with edition 2024, and Debian 13's
debian_rust=$cache/rust-debian13-1 # raise the last number when script/setup lays it out anew
node_minimum=20 # what AssemblyScript's compiler asks for
node_prefix=$cache/node-$(key_of "$root/requirements/node.txt")
debian_clang=$cache/clang-debian13-1 # likewise
clang_programs='clang-19 clang++-19 wasm-ld-19 llvm-symbolizer-19 llvm-objcopy-19 llvm-dwp-19 llvm-dwarfdump-19 llvm-cxxfilt-19 wasm-tools wasm-opt-native'
# The same version is in tests/support/oracles.py.
addr2line_version=0.25.1 # the last that builds with Debian 13's Rust
addr2line_program=addr2line-$addr2line_version
addr2line_prefix=$cache/$addr2line_program
zig_prefix=$cache/zig-$(key_of "$root/requirements/zig.txt")
# The same rule is in tests/support/dwarf_fixtures.py.
# shellcheck disable=SC2034
corpus_prefix=$cache/corpus-$(cd "$root/tests/corpus" && key_of Cargo.lock corpus.sh cpp/containers.cpp rust/main.rs)
# shellcheck disable=SC2034
go_prefix=$cache/go-$(key_of "$root/requirements/go.txt")
# The same rule is in tests/support/jaeger.py.
# shellcheck disable=SC2034
jaeger_prefix=$cache/jaeger-$(cd "$root/tests/jaeger" && key_of go.mod go.sum)

# Put the toolchains in the cache on PATH where the machine's own will not do.
use_toolchains() {
    if ! rust_serves && [ -d "$debian_rust" ]; then
        PATH=$debian_rust/bin:$PATH
        # What was chosen for another Rust does not suit this one.
        unset RUSTUP_TOOLCHAIN RUSTC CARGO RUSTC_WRAPPER
    fi
    if ! node_serves && [ -d "$node_prefix" ]; then
        PATH=$node_prefix/bin:$PATH
    fi
    if ! clang_serves && [ -d "$debian_clang" ]; then
        PATH=$debian_clang/bin:$PATH
    fi
    # Programs under names of their own.
    for prefix in "$addr2line_prefix" "$zig_prefix"; do
        case :$PATH: in
        *":$prefix/bin:"*) ;;
        *) PATH=$PATH:$prefix/bin ;;
        esac
    done
    export PATH
}

# Whether rustc and cargo on PATH are new enough and have both WebAssembly targets.
rust_serves() {
    have rustc && have cargo || return
    release=$(rustc --version 2>/dev/null) && sysroot=$(rustc --print sysroot 2>/dev/null) || return
    minor=${release#rustc 1.}
    [ "${minor%%.*}" -ge "$rust_minimum" ] 2>/dev/null || return
    [ -d "$sysroot/lib/rustlib/wasm32-unknown-unknown/lib" ] &&
        [ -d "$sysroot/lib/rustlib/wasm32-wasip1/lib" ]
}

node_serves() {
    have node && have npm || return
    major=$(node --version 2>/dev/null) || return
    major=${major#v}
    [ "${major%%.*}" -ge "$node_minimum" ] 2>/dev/null
}

# Whether clang 19 and all that goes with it is on PATH, and no wasm-opt beside it: clang runs any
# that it finds after linking, and that drops the debug information.
clang_serves() {
    for program in $clang_programs; do
        have "$program" || return
    done
    [ "$(command -v clang-19)" = "$debian_clang/bin/clang-19" ] || ! have wasm-opt
}

clang_problem() {
    if clang_serves; then return 1; fi
    echo "clang 19 for WebAssembly is not complete here ($clang_programs, wasi-libc, libc++); get it with: script/setup toolchains"
}

zig_problem() {
    if have zig-for-guests; then return 1; fi
    echo "there is no Zig; get it with: script/setup toolchains"
}

# rust_problem [lint]: true, and prints it, when guests in Rust cannot be built (and, with
# `lint`, checked) here. After use_toolchains.
rust_problem() {
    if ! rust_serves; then
        echo "there is no Rust with the WebAssembly targets; get it with: script/setup toolchains"
    elif [ "${1-}" = lint ] && ! { cargo-fmt --version && cargo-clippy --version; } >/dev/null 2>&1; then
        echo "this Rust has no rustfmt and clippy; get them with: rustup component add rustfmt clippy"
    else
        return 1
    fi
}

node_problem() {
    if node_serves; then return 1; fi
    echo "there is no Node.js $node_minimum or newer with npm; get it with: script/setup toolchains"
}

# Install the packages that package-lock.json pins, in the current folder, unless they are
# there already.
npm_ci() {
    lock_key=$(key_of package-lock.json)
    [ "$(cat node_modules/.wasmscope-key 2>/dev/null)" = "$lock_key" ] && return
    say "Installing the npm packages of $(basename "$PWD")"
    npm ci --silent --no-audit --no-fund </dev/null || die "npm ci failed in $PWD"
    printf '%s\n' "$lock_key" >node_modules/.wasmscope-key
}
