#!/usr/bin/env bash
# tools/venv.sh NAME: installs requirements/NAME.txt into a virtual environment of its own, .cache/NAME, when it isn't there. For tools that don't
# go with what .venv has.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements/$1.txt
venv=.cache/$1
[ "$(cat "$venv/.installed" 2>/dev/null)" != "$(cksum <"$lock")" ] || exit 0
echo "$1: installing $lock into $venv (once, about a minute)" >&2
rm -rf "$venv"
.venv/bin/python -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$lock"
cksum <"$lock" >"$venv/.installed"
