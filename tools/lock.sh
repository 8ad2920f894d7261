#!/usr/bin/env bash
# Writes the locks in requirements/: versions with hashes for every platform, packages by name only.
# Usage: tools/lock.sh [PACKAGE ...]   upgrades the named packages (none: keeps what is locked where it still fits)
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.cache/uv/bin/uv
[ -x "$uv" ] || { python3 -m venv .cache/uv && .cache/uv/bin/pip install --quiet uv; }
upgrade=()
for package in "$@"; do upgrade+=(--upgrade-package "$package"); done
compile() { # OUTPUT ARGUMENT ...
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make lock" "${upgrade[@]}" --output-file "requirements/$1" "${@:2}"
}
pins=(--constraints requirements/versions.txt)
compile dev.txt pyproject.toml --extra cpu --extra spark --extra dev "${pins[@]}"
compile run.txt pyproject.toml --extra cpu --extra spark "${pins[@]}" --constraints requirements/dev.txt
compile java.txt requirements/java.in
compile build.txt requirements/build.in --constraints requirements/dev.txt
compile spark35.txt requirements/spark35.in
compile examples.txt requirements/examples.in --no-deps
