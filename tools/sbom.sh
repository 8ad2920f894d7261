#!/usr/bin/env bash
# Writes build/sbom-LOCK.json for each lock of what runs: CycloneDX, with the hashes that are checked when it is installed. Offline, but for the first
# time, when it installs cyclonedx-bom into .cache/sbom.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/venv.sh sbom
venv=.cache/sbom
mkdir -p build
for name in run image-cpu image-gpu image-cuda image-spark; do
    PYTHONWARNINGS=ignore $venv/bin/cyclonedx-py requirements --output-reproducible --of JSON --pyproject pyproject.toml --output-file "build/sbom-$name.json" "requirements/$name.txt"
    echo "build/sbom-$name.json"
done
