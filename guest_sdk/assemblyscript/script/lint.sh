#!/bin/sh
# Check the formatting and the rules of this package, and of the programs of this
# repository that use it.
#
# Usage: lint.sh [--fix]
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."
PATH=$PWD/node_modules/.bin:$PATH
sdk=guest_sdk/assemblyscript
cd ../..
# shellcheck disable=SC2046  # none of our folder names has a space
set -- "$@" "$sdk" $(find examples tests -type d -name assembly -not -path '*/node_modules/*')
if [ "$1" = --fix ]; then
    shift
    prettier --log-level warn --ignore-path "$sdk/.prettierignore" --write "$@"
    eslint --config "$sdk/eslint.config.js" --fix "$@"
else
    prettier --log-level warn --ignore-path "$sdk/.prettierignore" --check "$@"
    eslint --config "$sdk/eslint.config.js" "$@"
fi
