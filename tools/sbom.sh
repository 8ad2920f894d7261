#!/usr/bin/env bash
# Writes build/sbom-LOCK.json for each lock of what runs: CycloneDX, with the hashes that are checked when it is installed. Offline, but for the first
# time, when it installs cyclonedx-bom into .cache/sbom.
set -euo pipefail
cd "$(dirname "$0")/.."
lock=requirements/sbom.txt
venv=.cache/sbom
if [ "$(cat $venv/.installed 2>/dev/null)" != "$(cksum <$lock)" ]; then
    echo "sbom: installing $lock into $venv (once)" >&2
    rm -rf $venv
    .venv/bin/python -m venv $venv
    $venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $lock
    cksum <$lock >$venv/.installed
fi
mkdir -p build
for name in run image-cpu image-gpu image-cuda image-spark; do
    PYTHONWARNINGS=ignore $venv/bin/cyclonedx-py requirements --output-reproducible --of JSON --pyproject pyproject.toml --output-file "build/sbom-$name.json" "requirements/$name.txt"
    echo "build/sbom-$name.json"
done
