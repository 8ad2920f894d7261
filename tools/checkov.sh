#!/usr/bin/env bash
# Checks the configuration of the Dockerfiles with checkov, which it installs into .cache/checkov when it isn't there.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements/checkov.txt
venv=.cache/checkov
if [ "$(cat $venv/.installed 2>/dev/null)" != "$(cksum <$lock)" ]; then
    echo "checkov: installing $lock into $venv (once, about a minute)" >&2
    rm -rf $venv
    .venv/bin/python -m venv $venv
    $venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $lock
    cksum <$lock >$venv/.installed
fi
exec $venv/bin/checkov --config-file .checkov.yaml --file "$@"
