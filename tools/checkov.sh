#!/usr/bin/env bash
# Checks the configuration of the Dockerfiles with checkov, which it installs into .cache/checkov when it isn't there.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/venv.sh checkov
venv=.cache/checkov
exec $venv/bin/checkov --config-file .checkov.yaml --file "$@"
