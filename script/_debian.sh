# shellcheck shell=sh
# Sourced by script/setup: programs from Debian's packages, in a folder of their own, without root
# and without touching the system. They run on other releases and relatives of Debian because they
# are started by their own dynamic linker with their own libraries. POSIX sh.

# Whether packages of Debian 13 can be fetched, verified and unpacked here.
debian_keys=/usr/share/keyrings/debian-archive-keyring.gpg
debian_suits() {
    have apt-get && have dpkg-deb && [ -e "$debian_keys" ]
}

# debian_unpack FOLDER WHAT LIBRARIES PACKAGE...: fetch Debian 13's packages and unpack them into
# FOLDER, with the packages of LIBRARIES and all that those need. A package that only Debian 13's
# backports have comes from there. WHAT is what they are, for messages.
debian_unpack() {
    into=$1
    what=$2
    libraries=$3
    shift 3
    apt=$into/apt
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/debs"
    : >"$apt/status"
    # On Debian, from where the system itself gets its packages.
    mirror=
    if grep -q '^ID=debian' /etc/os-release; then
        # shellcheck disable=SC2016  # apt's own notation
        mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | sed -n 1p)
    fi
    for suite in trixie trixie-backports; do
        echo "deb [signed-by=$debian_keys] ${mirror:-https://deb.debian.org/debian} $suite main"
    done >"$apt/sources.list"
    private_apt apt-get update >"$apt/log" 2>&1 || debian_failed "the package lists of Debian 13 could not be fetched"
    # shellcheck disable=SC2086  # a list of names
    libraries=$(private_apt apt-cache depends --recurse --important $libraries | grep '^[a-z]' | sort -u)
    # shellcheck disable=SC2086  # a list of names
    (cd "$apt/debs" && private_apt apt-get download "$@" $libraries) >"$apt/log" 2>&1 ||
        debian_failed "Debian 13's $what could not be fetched"
    for deb in "$apt"/debs/*.deb; do
        dpkg-deb -x "$deb" "$into" || die "$deb could not be unpacked"
    done
    rm -rf "$apt" "${into:?}/usr/share"

    triplet=$(cd "$into/usr/lib" && echo *-linux-gnu)
    mkdir -p "$into/bin" "$into/real"
    cp "$(find "$into/usr/lib/$triplet" -name 'ld-linux-*.so.*')" "$into/usr/bin/ld.so"
}

debian_failed() {
    cat "$apt/log" >&2
    die "$1"
}

# Its own lists and its own idea of what is installed (nothing); apt checks signatures as always.
# The system's settings for proxies and the like stay in force.
private_apt() {
    program=$1
    shift
    "$program" -q \
        -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$apt" -o Dir::State::Lists="$apt/lists" -o Dir::State::Status="$apt/status" \
        -o Dir::Cache="$apt" -o Dir::Cache::Archives="$apt/archives" \
        -o APT::Sandbox::User= -o Acquire::Languages=none "$@" </dev/null
}

# debian_program PREFIX FILE NAME PROGRAM: after debian_unpack, write the script $into/FILE, which
# starts $into/PROGRAM as NAME with its own dynamic linker and libraries once $into has become
# PREFIX. Lines for the script to start with are read from standard input.
#
# A program that looks for others beside itself looks beside the file that is running, which is
# the dynamic linker; so PROGRAM is moved out of the way where a script is to be found instead.
debian_program() {
    mkdir -p "$(dirname "$into/$2")"
    {
        echo '#!/bin/sh'
        cat
        echo "exec '$1/usr/bin/ld.so' --library-path '$1/usr/lib/$triplet' --argv0 '$3' '$1/$4' \"\$@\""
    } >"$into/$2"
    chmod +x "$into/$2"
}
