#!/usr/bin/env bash
# Runs a command that downloads, and again when it fails: go, unlike apt and uv, doesn't try again where a name can't be looked up.
# Usage: tools/retry.sh COMMAND ...
# Environment: RETRY_WAITS, seconds before each further try (default: 5 20)
set -u
: "${1:?the command}"
for wait in ${RETRY_WAITS-5 20}; do
    "$@" && exit
    echo "retry: ${*:1:3} … failed, see above; once more in $wait s" >&2
    sleep "$wait"
done
exec "$@"
